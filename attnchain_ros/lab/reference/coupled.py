"""Twin of ``parts.coupled`` and ``parts.links``: the cost term by term, every pair of landmarks looked at."""

from __future__ import annotations

import numpy as np

Motion = tuple[np.ndarray, np.ndarray]
"""Turn [3, 3] and place [3] of a patch."""


def coupled_residuals(
    rest: list[np.ndarray],
    motions: list[Motion],
    before: list[Motion],
    still: list[bool],
    links: list[tuple[int, int, list[np.ndarray]]],
    tracks: list[tuple[int, np.ndarray, np.ndarray, float]],
    lines: list[tuple[int, np.ndarray, np.ndarray, float, float]],
    camera: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Residuals whose squares sum to the cost of all patches.

    Args:
        rest: of each patch, its landmarks [n, 3] at rest.
        motions, before: of each patch, now and in the frame before.   still: of each patch, whether it seems to rest.
        links: two patches and the places [3] at rest that they have in common.
        tracks: patch, place [3] at rest, pixel [2] and weight.
        lines: patch, place [3] at rest, normal [2] of the line, its distance from the origin along it, and weight.
        camera: camera_from_object [4, 4] and intrinsics [3, 3].
    """
    centres = [landmarks.mean(axis=0) for landmarks in rest]
    pose, matrix = camera

    def moved(patch: int, place: np.ndarray, motion: Motion) -> np.ndarray:
        return np.asarray(motion[0] @ (place - centres[patch]) + motion[1])

    def pixel(patch: int, place: np.ndarray) -> np.ndarray:
        seen = matrix @ (pose[:3, :3] @ moved(patch, place, motions[patch]) + pose[:3, 3])
        return np.asarray(seen[:2] / seen[2])

    found: list[float] = []
    for patch, landmarks in enumerate(rest):
        square = 0.0
        for landmark in landmarks:
            now = moved(patch, landmark, motions[patch])
            found.extend(np.sqrt(1.0 / len(landmarks)) / 0.1 * (now - moved(patch, landmark, before[patch])))
            square += float(((now - landmark) ** 2).sum()) / len(landmarks)
        if still[patch]:
            found.append(np.sqrt(4.0 / 0.02**2 * square / (1 + square / 0.04**2)))
    for one, other, places in links:
        for place in places:
            apart = moved(one, place, motions[one]) - moved(other, place, motions[other])
            found.extend(np.sqrt(2.0 / len(places)) / 0.02 * apart)
    total: dict[int, float] = {}
    for patch, _, _, weight in tracks:
        total[patch] = total.get(patch, 0.0) + weight
    for patch, place, wanted, weight in tracks:
        miss = pixel(patch, place) - wanted
        share = min(total[patch], 20.0) / total[patch] * weight / 1.5**2
        found.extend(np.sqrt(share / (1 + float(miss @ miss) / 4.0**2)) * miss)
    for patch, place, normal, distance, weight in lines:
        found.append(np.sqrt(30.0 * weight) / 1.5 * (float(pixel(patch, place) @ normal) - distance))
    return np.array(found)


def common_places(one: np.ndarray, other: np.ndarray, count: int) -> list[np.ndarray]:
    """Of each of two patches' landmarks [n, 3], [m, 3] the ``count`` that lie nearest to any of the other's."""
    found = []
    for own, partner in ((one, other), (other, one)):
        apart = [min(float(np.linalg.norm(place - there)) for there in partner) for place in own]
        found.extend(own[k] for k in sorted(range(len(own)), key=lambda k: apart[k])[:count])
    return found


def hangs_together(count: int, pairs: list[tuple[int, int]]) -> bool:
    """Whether every patch can be reached from the first."""
    reached = {0}
    while True:
        new = {b for a, b in [*pairs, *((b, a) for a, b in pairs)] if a in reached} - reached
        if not new:
            return len(reached) == count
        reached |= new
