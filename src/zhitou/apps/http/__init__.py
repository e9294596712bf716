"""The HTTP door: decisions, events, signed links, pictures and explanations over one service.

Owns: request, answer, problem, key, signed link. Never decides, never learns, never opens behaviour.
"""
