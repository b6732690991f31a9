"""Twin of camera.outline: every rim place against every outline point, derivatives by finite differences."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

from ...camera.outline import MaskOutline, PosedMesh

STEP = 1e-6


def find_rim(vertices: np.ndarray, faces: np.ndarray, pose: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Edges between a triangle that shows its front and one that shows its back: middle and normal [2, 3], camera."""
    posed = [pose[:3, :3] @ vertex + pose[:3, 3] for vertex in vertices]
    owners: dict[tuple[int, int], list[np.ndarray]] = {}
    for face in faces:
        a, b, c = (posed[corner] for corner in face)
        normal = np.cross(b - a, c - a)
        normal = normal / math.sqrt(float(normal @ normal))
        for one, other in ((face[0], face[1]), (face[1], face[2]), (face[2], face[0])):
            owners.setdefault((min(one, other), max(one, other)), []).append(normal)
    rim = {}
    for (one, other), normals in owners.items():
        middle = 0.5 * (posed[one] + posed[other])
        towards = [float(-normal @ posed[one]) for normal in normals]
        if len(normals) == 2 and (towards[0] > 0) != (towards[1] > 0):
            normal = normals[0] * abs(towards[1]) + normals[1] * abs(towards[0])
            rim[(int(one), int(other))] = np.stack([middle, normal / math.sqrt(float(normal @ normal))])
    return rim


def rim_misfit(
    posed: PosedMesh, intrinsics: np.ndarray, outline: MaskOutline, size: float, gate: float, normal_weight: float
) -> tuple[list[tuple[float, np.ndarray, float]], list[tuple[float, np.ndarray, float]]]:
    """Rows of (residual [px], derivative [6], weight) of outline points and of vertices outside the mask; one frame."""
    centre, outside = posed.centre[0], outline.outside
    spread = normal_weight * size
    rim = []
    for point, normal in zip(posed.rim.points, posed.rim.normals, strict=True):
        if point[2] <= 0:
            continue
        across = np.array([normal[0] / intrinsics[0, 0], normal[1] / intrinsics[1, 1]])
        length = math.sqrt(float(across @ across))
        rim.append((point, _project(point, intrinsics), across / max(length, 1e-12)))
    edge = []
    for place, normal in zip(outline.points, outline.normals, strict=True):
        best, partner = math.inf, None
        for point, pixel, across in rim:
            apart = math.sqrt(float(((pixel - place) ** 2).sum() + spread**2 * ((across - normal) ** 2).sum()))
            if apart < best:
                best, partner = apart, point
        if partner is None:
            continue
        residual = float((_project(partner, intrinsics) - place) @ normal)
        weight = 1.0 / (1.0 + (residual / gate) ** 2) ** 2 if best < 4 * gate + 0.7 * spread else 0.0
        edge.append((residual, _derivative(partner, normal, centre, intrinsics), weight))
    over = []
    height, width = outside.shape
    for point in posed.body[0]:
        if point[2] <= 0:
            continue
        column, row = (round(float(value)) for value in _project(point, intrinsics))
        if 0 <= column < width and 0 <= row < height and outside[row, column] > 1.0:
            distance = float(outside[row, column])
            weight = 0.5 / (1.0 + (distance / gate) ** 2) ** 2
            direction = outline.slope[row, column].astype(np.float64)
            over.append((distance, _derivative(point, direction, centre, intrinsics), weight))
    return edge, over


def _project(point: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    flat = intrinsics @ point
    return np.array([flat[0] / flat[2], flat[1] / flat[2]])


def _derivative(point: np.ndarray, direction: np.ndarray, centre: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    found = np.zeros(6)
    for axis in range(6):
        ends = []
        for sign in (1.0, -1.0):
            motion = np.zeros(6)
            motion[axis] = sign * STEP
            moved = centre + Rotation.from_rotvec(motion[:3]).apply(point - centre) + motion[3:]
            ends.append(float(_project(moved, intrinsics) @ direction))
        found[axis] = (ends[0] - ends[1]) / (2 * STEP)
    return found
