"""What happens when an ad is shown: the probability of a click, and of a conversion once clicked.

Owns: row, field, slot, examination, later fold, calibration, baseline. Never sees a shopper's raw behaviour, never
chooses an ad and never sets a bid.
"""
