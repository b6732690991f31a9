"""Rigid parts and pixels: what keeps a rollout from drifting. Not in the paper; see docs/method.md."""
