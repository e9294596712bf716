"""Words that every other package uses: ids, columns, money, errors, chance, time.

Never reads a file, never draws chance or time by itself.
"""
