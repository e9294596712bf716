"""Where behaviour comes from: each source turns outside data into a RawBehaviour of one form.

Owns: RawBehaviour, mapping, source facts. Never cleans, never drops a row without a reason and a count.
"""
