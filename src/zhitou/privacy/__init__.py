"""The one door to raw behaviour: pseudonyms, consent, and a note of every read.

Owns: pseudonym, purpose, consent, the door. Never decides and never learns.
"""
