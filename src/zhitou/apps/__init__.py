"""The doors: the command line and HTTP. They translate and refuse; what is decided is decided inside.

Owns: command, route, key. Never holds a rule of the trade.
"""
