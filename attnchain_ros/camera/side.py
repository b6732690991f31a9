"""Which side of an object is seen where its outline does not say: the colours of a mesh that has any."""

from __future__ import annotations

import numpy as np

from ..shapes import check_shape
from .raycast import rasterize
from .tracks3d import to_camera

LEAST_SEEN = 50
"""Fewer pixels of the object say nothing."""


def colour_agreement(
    mesh: tuple[np.ndarray, np.ndarray],
    colors: np.ndarray,
    picture: tuple[np.ndarray, np.ndarray],
    intrinsics: np.ndarray,
    camera_from_object: np.ndarray,
) -> float:
    """How much of what a picture's colours do over the object the mesh's colours explain under a pose.

    Each channel may be brighter or darker and have more or less contrast (light, white balance), but not be inverted.

    Args:
        mesh: vertices [V, 3], object frame, and faces [T, 3].   colors: [V, 3] uint8 RGB of the vertices.
        picture: image [S, S, 3] uint8 RGB, and mask [S, S] bool of the object.
        intrinsics: [3, 3] K of the picture's pixels.   camera_from_object: [4, 4].
    Returns:
        0 (nothing, as for a mesh of one colour) to 1.
    Raises:
        ShapeError: shapes disagree.   InputError: K cannot be used.
    Twin: ``lab.reference.side.colour_agreement``.
    """
    vertices, faces = mesh
    axes = check_shape("vertices", vertices, "V 3")
    check_shape("colors", colors, "V 3", "one RGB colour per vertex", **axes)
    image, mask = picture
    size = check_shape("mask", mask, "S S")["S"]
    check_shape("image", image, "S S 3", S=size)
    drawn = rasterize(to_camera(vertices[None], camera_from_object)[0], faces, intrinsics, size, size)
    seen = mask & (drawn.face >= 0)
    if seen.sum() < LEAST_SEEN:
        return 0.0
    corners = colors[faces[drawn.face[seen]]].astype(np.float64)
    own = np.einsum("nc,ncx->nx", drawn.barycentric[seen], corners)
    shown = image[seen].astype(np.float64)
    own, shown = own - own.mean(axis=0), shown - shown.mean(axis=0)
    spread, total = (own * own).sum(axis=0), float((shown * shown).sum())
    common = np.maximum((own * shown).sum(axis=0), 0.0)
    # Less than half a grey value of contrast is one colour.
    known = spread > 0.25 * len(own)
    explained = np.divide(common**2, spread, out=np.zeros(3), where=known)
    return float(explained.sum()) / total if total > 0 else 0.0
