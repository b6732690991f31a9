"""``attnchain bench``: what a window costs, stage by stage, from tiny networks to the published size.

Networks have random weights, so nothing is downloaded. Their arithmetic is counted on tensors without data (the
``meta`` device), which works for the published size on any machine; time is taken where there is a device that can
compute them.
"""
