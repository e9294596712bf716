"""The large model: interest = f(behaviour), a decoder over behaviour tokens with a memory of own items.

Owns: token, vocabulary, interest vector, next-step score, tag. Never knows campaigns, bids or clicks on ads.
"""
