"""What every learner shares: the one training loop, checkpoints, and the baselines to be held against.

Owns: batch, epoch, checkpoint, baseline. Never knows what an ad, a bid or a campaign is.
"""
