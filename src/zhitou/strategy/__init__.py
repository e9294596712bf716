"""The arithmetic of delivery: who may see what, what it is worth, at which bid, in which order, at which price.

Owns: eligibility, value, bid, pacing, auction, exploration, caps, and the ports through which it sees models.
Never imports torch, never reads a file.
"""
