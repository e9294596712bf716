"""What happened: the event contract, where events come from, how they are checked and cleaned.

Owns: Event, Histories, quarantine, session, split. Never decides, never learns.
"""
