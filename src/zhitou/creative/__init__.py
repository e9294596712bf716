"""Ads from facts: brief, copy, design, pixels, and the review without which nothing ships.

Owns: Brief, Offer, Copy, Genes, Scene, Finding, Shelf. Never invents a fact and never chooses whom to show an ad.
"""
