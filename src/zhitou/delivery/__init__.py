"""One decision from request to receipt: candidates, the whole path, the record of it, and its explanation.

Owns: Asks, Decisions, Desk, Receipt, explanation, the stores. Never imports torch; sees models through ports.
"""
