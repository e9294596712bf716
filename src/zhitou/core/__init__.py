"""Words that every other package uses: ids, columns, money, errors, chance, time.

Owns: Money, Chance, Clock, ids, column names, errors. Never reads a file and never draws chance or time by itself.
"""
