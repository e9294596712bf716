"""What behaviour says, as numbers a model can read and words a person can read.

Owns: fact, column, state, cell, tag, profile, segment, rule, training table.
Never reads past the moment it is asked for.
"""
