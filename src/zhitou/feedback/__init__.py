"""What became of what was shown: outcomes joined by id, credit shared out, a new model let in only on evidence.

Owns: fact, window, watermark, mature, credit (attributed, never caused), verdict, champion. Never decides what is
shown and never trains.
"""
