"""zhitou (智投): behaviour in, ads out, feedback back, and the lift with its interval.

The folder listing is the loop; `zhitou.loop` is its seven stages, `zhitou.assembly` the one file that
knows every part.
"""

__version__ = "0.1.0"
