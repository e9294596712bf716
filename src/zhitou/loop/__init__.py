"""The seven stages of the loop, each a page, and the study that says what the loop was worth.

Owns: stage, stretch, life, seed, tally, report. Never holds a rule of the trade: it calls those who do.
"""
