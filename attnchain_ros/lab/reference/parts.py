"""Twins of ``parts/``: loops over landmarks, an SVD per motion, costs written out term by term."""

from __future__ import annotations

import heapq

import numpy as np

from .skinning import procrustes_rotations


def patch_of(vertices: np.ndarray, edges: dict[tuple[int, int], float], seeds: list[int], landmark: int) -> int:
    """The seed nearest to a landmark along a graph of ``edges`` (both directions), by its place in ``seeds``."""
    best = {landmark: 0.0}
    heap = [(0.0, landmark)]
    neighbours: dict[int, list[tuple[int, float]]] = {}
    for (one, other), length in edges.items():
        neighbours.setdefault(one, []).append((other, length))
    while heap:
        distance, vertex = heapq.heappop(heap)
        if distance > best[vertex]:
            continue
        for other, length in neighbours.get(vertex, []):
            if distance + length < best.get(other, np.inf):
                best[other] = distance + length
                heapq.heappush(heap, (distance + length, other))
    return int(np.argmin([best.get(seed, np.inf) for seed in seeds]))


def motion_moments(
    rest: np.ndarray, places: np.ndarray, weights: np.ndarray, group: np.ndarray, count: int
) -> np.ndarray:
    """Sums [P, F, 17] over the landmarks of each group, one landmark at a time."""
    sums = np.zeros((count, len(places), 17))
    for frame in range(len(places)):
        for k, (x, g) in enumerate(zip(rest, group, strict=True)):
            y, w = places[frame, k], weights[frame, k]
            row = [1.0, *x, *y, *np.outer(x, y).ravel(), x @ x + y @ y]
            sums[g, frame] += w * np.array(row)
    return sums


def rigid_motion(rest: np.ndarray, places: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best rotation [3, 3] and shift [3] that carry points [n, 3] onto places [n, 3]."""
    total = weights.sum()
    centre, middle = weights @ rest / total, weights @ places / total
    covariance = sum(w * np.outer(x - centre, y - middle) for w, x, y in zip(weights, rest, places, strict=True))
    turn = procrustes_rotations(np.asarray(covariance))
    return turn, middle - turn @ centre


def rigid_energy(rest: np.ndarray, places: np.ndarray, weights: np.ndarray) -> float:
    """Weighted sum of squared distances under the best rigid motion."""
    turn, shift = rigid_motion(rest, places, weights)
    return float(sum(w * ((turn @ x + shift - y) ** 2).sum() for w, x, y in zip(weights, rest, places, strict=True)))


def merge_patches(
    rest: np.ndarray,
    places: np.ndarray,
    weights: np.ndarray,
    of: np.ndarray,
    pairs: list[tuple[int, int]],
    rule: tuple[float, int],
) -> np.ndarray:
    """Part of each patch, from landmarks: energies of every union are computed anew.

    Args:
        rest: [K, 3]; places: [F, K, 3]; weights: [F, K]; of: [K] patch of each landmark.
        pairs: patches that touch.   rule: ratio and stretch of ``parts.merging.merge_patches``.
    """
    ratio, stretch = rule
    count, frames = int(of.max()) + 1, len(places)
    label = list(range(count))

    def energies(parts: set[int]) -> np.ndarray:
        rows = [k for k in range(len(rest)) if label[of[k]] in parts]
        return np.array([rigid_energy(rest[rows], places[f, rows], weights[f, rows]) for f in range(frames)])

    def mass(part: int) -> np.ndarray:
        rows = [k for k in range(len(rest)) if label[of[k]] == part]
        return weights[:, rows].sum(axis=1)

    own = [np.sqrt(energies({p}).sum() / mass(p).sum()) for p in range(count)]
    limit = ratio * float(np.median(own))
    while True:
        touching = {tuple(sorted((label[a], label[b]))) for a, b in pairs if label[a] != label[b]}
        best = None
        for a, b in sorted(touching):
            added = np.maximum(energies({a, b}) - energies({a}) - energies({b}), 0.0)
            smaller = np.minimum(mass(a), mass(b))
            cost = max(
                np.sqrt(added[s : s + stretch].sum() / smaller[s : s + stretch].sum())
                for s in range(0, frames, stretch)
            )
            if best is None or cost < best[0]:
                best = (cost, a, b)
        if best is None or best[0] > limit:
            return np.unique(label, return_inverse=True)[1]
        label = [best[1] if part == best[2] else part for part in label]


def fit_part(rest: np.ndarray, places: np.ndarray, weights: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Robust rigid motion of one part in one frame: landmarks [n, 3], weights [n]."""
    share = weights.copy()
    for number in range(12):
        turn, shift = rigid_motion(rest, places, share)
        width = scale * max(1.0, 4.0 / 1.7**number)
        for k in range(len(rest)):
            away = np.linalg.norm(turn @ rest[k] + shift - places[k])
            share[k] = weights[k] / (1 + (away / width) ** 2) ** 2 + 1e-6 * weights[k]
    return turn, shift


def fuse_reads(
    reads: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], of: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fused points [F, K, 3] and the last frame's variance [K]; reads are (points, valid, source, variance)."""
    frames, count = reads[0][1].shape
    points, information = np.zeros((frames, count, 3)), np.zeros((frames, count))
    sure = np.zeros((frames, count))
    for k in range(count):
        patch = np.flatnonzero(of == of[k])
        for f in range(frames):
            total = np.zeros(3)
            for place, valid, source, variance in reads:
                lengths = [float(valid[f, j]) * np.linalg.norm(place[f, j] - source[j]) for j in patch]
                moved = (sum(lengths) + 1e-3) / (sum(float(valid[f, j]) for j in patch) + 1e-2)
                spread = variance[patch].mean() + 0.05**2 + (0.3 * moved) ** 2
                weight = (1.0 if valid[f, k] else 5e-4) / spread
                total += weight * place[f, k]
                information[f, k] += weight
            points[f, k] = total / information[f, k]
            sure[f, k] = 1.0 if any(valid[f, k] for _, valid, _, _ in reads) else 5e-4
    smooth = np.zeros_like(points)
    for f in range(frames):
        for k in range(count):
            near = [g for g in range(frames) if abs(f - g) <= 3]
            kernel = [np.exp(-0.5 * ((f - g) / sigma) ** 2) * sure[g, k] for g in near]
            smooth[f, k] = sum(w * points[g, k] for w, g in zip(kernel, near, strict=True)) / sum(kernel)
    return smooth, np.minimum(1 / np.maximum(information[-1], 1e-3), 0.05)


def step_points(
    points: np.ndarray, there: np.ndarray, back: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step of dense flow, point by point."""
    size = there.shape[0]

    def read(flow: np.ndarray, place: np.ndarray) -> np.ndarray:
        x, y = np.clip(place, 0, size - 1)
        left, upper = min(int(x), size - 2), min(int(y), size - 2)
        a, b = x - left, y - upper
        return (1 - b) * ((1 - a) * flow[upper, left] + a * flow[upper, left + 1]) + b * (
            (1 - a) * flow[upper + 1, left] + a * flow[upper + 1, left + 1]
        )

    found, held = [], []
    for place in points:
        onward = place + read(there, place)
        miss = np.linalg.norm(onward + read(back, onward) - place)
        x, y = round(float(onward[0])), round(float(onward[1]))
        inside = 0 <= x < size and 0 <= y < size and bool(mask[y, x])
        found.append(onward)
        held.append(bool(miss <= 1.5) and inside)
    return np.array(found), np.array(held)


def part_residuals(
    arms: np.ndarray,
    motion: tuple[np.ndarray, np.ndarray],
    chain: tuple[np.ndarray, np.ndarray],
    still: np.ndarray | None,
    tracks: list[tuple[int, np.ndarray, float]],
    camera: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Residuals whose squares sum to the cost of one part (``parts.solving``).

    Args:
        arms: [n, 3] landmarks less their centre.
        motion, chain: turn [3, 3] and place [3].
        still: [3] the centre, where the part seems still; None elsewhere.
        tracks: row of ``arms``, pixel [2] and weight of each.
        camera: camera_from_object [4, 4] and intrinsics [3, 3].
    """
    turn, place = motion
    found: list[float] = []
    count = len(arms)
    for arm in arms:
        apart = turn @ arm + place - (chain[0] @ arm + chain[1])
        found.extend(np.sqrt(4.0 / count) / 0.06 * apart)
    if still is not None:
        square = sum(float(((turn @ arm + place - (arm + still)) ** 2).sum()) for arm in arms) / count
        found.append(np.sqrt(4.0 / 0.02**2 * square / (1 + square / 0.04**2)))
    pose, matrix = camera
    total = sum(weight for _, _, weight in tracks)
    for row, pixel, weight in tracks:
        seen = matrix @ (pose[:3, :3] @ (turn @ arms[row] + place) + pose[:3, 3])
        miss = seen[:2] / seen[2] - pixel
        share = min(total, 20.0) / total * weight / 1.5**2
        found.extend(np.sqrt(share / (1 + float(miss @ miss) / 4.0**2)) * miss)
    return np.array(found)


def rest_residuals(
    step: np.ndarray, start: np.ndarray, points: np.ndarray, tracks: tuple[np.ndarray, np.ndarray], camera: np.ndarray
) -> np.ndarray:
    """Residuals whose squares sum to the cost of a pose (``parts.cameras.pose_at_rest``) at its last scale.

    Args:
        step: [6] turn vector and shift of the object about the mean of the points.
        start: [4, 4] camera_from_object.   points: [n, 3] at rest.
        tracks: pixels [n, 2] and weights [n].   camera: [3, 3] intrinsics.
    """
    centre = points.mean(axis=0)
    angle = float(np.linalg.norm(step[:3]))
    x, y, z = step[:3] / max(angle, 1e-15)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    found = []
    for point, pixel, weight in zip(points, *tracks, strict=True):
        seen = camera @ (start[:3, :3] @ (turn @ (point - centre) + centre + step[3:]) + start[:3, 3])
        miss = seen[:2] / seen[2] - pixel
        found.extend(np.sqrt(weight / (1 + float(miss @ miss) / 2.0**2)) * miss)
    return np.array(found)


def smooth_values(values: np.ndarray, errors: np.ndarray, step: float) -> np.ndarray:
    """[F] a line that starts from 0 before the first frame: least squares of value / error and of change / step."""
    rows, right = [], []
    for frame in range(len(values)):
        row = np.zeros(len(values))
        if np.isfinite(errors[frame]):
            row[frame] = 1 / errors[frame]
            rows.append(row)
            right.append(values[frame] / errors[frame])
        row = np.zeros(len(values))
        row[frame] = 1 / step
        if frame:
            row[frame - 1] = -1 / step
        rows.append(row)
        right.append(0.0)
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]


def read_error(variance: np.ndarray, kept: np.ndarray, now: np.ndarray, turn: float, of: np.ndarray) -> float:
    """Root mean square error that a read promises, landmark by landmark (``parts.keyframes``)."""
    total = 0.0
    for k in range(len(kept)):
        patch = np.flatnonzero(of == of[k])
        moved = np.mean([np.linalg.norm(now[j] - kept[j]) for j in patch])
        total += variance[k] + 0.05**2 + (0.3 * moved) ** 2 + (0.1 * turn) ** 2
    return float(np.sqrt(total / len(kept)))
