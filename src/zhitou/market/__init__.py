"""A world to practise in, fitted to real behaviour, where the truth behind every click is known.

Owns: market (what was fitted), world (one seed's shoppers over some days), tick, truth, outcome. Never trains
a model that decides, never borrows one, and never calls its lift a real one.
"""
