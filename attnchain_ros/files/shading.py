"""Vertex normals, plain shading and the sRGB curve, for files and contact sheets."""

from __future__ import annotations

import numpy as np

from ..mesh.types import vertex_normals


def shading_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """``vertex_normals`` for files and pictures, which want a direction everywhere.

    Args:
        vertices: [V, 3].
        faces: [T, 3] counter-clockwise seen from outside.
    Returns:
        [V, 3] float32, pointing outwards; vertices without a triangle (or of flat ones only) get +z.
    """
    unit = vertex_normals(vertices, faces)
    unit[~unit.any(axis=1)] = (0.0, 0.0, 1.0)
    return unit.astype(np.float32)


def shade(normals: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Colours lit by a soft light from above left of the viewer.

    Args:
        normals: [..., 3] unit, camera frame (x right, y down, z away from the viewer).
        colours: [..., 3] uint8.
    Returns:
        [..., 3] uint8.
    """
    light = np.array([-0.45, -0.7, -0.55]) / np.linalg.norm([0.45, 0.7, 0.55])
    # Wrapped light keeps the far side readable instead of black.
    amount = 0.35 + 0.75 * np.clip((normals @ light + 0.4) / 1.4, 0.0, 1.0)
    lit: np.ndarray = np.clip(colours * amount[..., None], 0, 255).astype(np.uint8)
    return lit


def linear_from_srgb(colours: np.ndarray) -> np.ndarray:
    """[..., 3] uint8 sRGB to float32 linear light in [0, 1] (IEC 61966-2-1)."""
    value = np.asarray(colours, np.float64) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def srgb_from_linear(colours: np.ndarray) -> np.ndarray:
    """[..., 3] linear light in [0, 1] to uint8 sRGB, the inverse of ``linear_from_srgb``."""
    value = np.clip(np.asarray(colours, np.float64), 0.0, 1.0)
    curve = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.rint(curve * 255.0).astype(np.uint8)
