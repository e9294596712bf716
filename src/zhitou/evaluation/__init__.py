"""Pure numbers about how good something is: rankings, probabilities, calibration, experiments, other policies.

Owns: Estimate, lift, claim, verdict, overlap. Never reads a file, never trains and never imports torch.
"""
