"""Words for ads: a grammar of lines, a small model trained on it, and the verifier that nothing passes unread.

Owns: Facts, Ask, Draft, Written, term, proof, port. Never states what the feed row and the material do not.
"""
