"""Surfaces: extraction, landmarks, geodesics, smoothing and skinning; pure functions on arrays and tensors."""
