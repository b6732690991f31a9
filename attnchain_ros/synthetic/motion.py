"""Joint motion without end and forward kinematics of the capsule tree.

Every joint angle is a sum of two sinusoids whose frequencies are whole multiples of 1 / ``PERIOD_FRAMES``: the speed
per frame does not depend on how many frames are asked for, and one pass over the period bounds the motion for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .creature import PART_COUNT, PART_PARENTS, Creature

PERIOD_FRAMES = 240
"""Frames after which the motion repeats."""

FIT_RADIUS = 0.985
"""Radius of the sphere the capsules stay in; the rest of the unit sphere is room for the mesh's own error."""

# Degrees of swing about x (sideways), y (turn) and z (in the side view's plane), smallest and largest.
_TURN_DEG = {
    "body": ((5, 10), (10, 19), (7, 14)),
    "neck": ((0, 0), (14, 28), (16, 30)),
    "head": ((0, 0), (14, 30), (14, 30)),
    "upper": ((2, 5), (0, 0), (28, 42)),
    "lower": ((0, 0), (0, 0), (18, 34)),
    "tail_base": ((0, 0), (20, 42), (14, 30)),
    "tail_tip": ((0, 0), (20, 42), (14, 30)),
}
_KINDS = ("body", "neck", "head", *("upper", "lower") * 4, "tail_base", "tail_tip")


@dataclass(frozen=True)
class Motion:
    """Sums of two sinusoids for every joint axis, and for the body's shift.

    Attributes:
        amplitude: [2, 13, 3] float64 radians about x, y, z.
        cycles: [2, 13, 3] int64 whole cycles per ``PERIOD_FRAMES``.
        phase: [2, 13, 3] float64 radians.
        shift: [3] float64 amplitude of the body's shift, object units before scaling.
        shift_phase: [3] float64 radians.
        shift_cycles: whole cycles of the body's shift per ``PERIOD_FRAMES``.
    """

    amplitude: np.ndarray
    cycles: np.ndarray
    phase: np.ndarray
    shift: np.ndarray
    shift_phase: np.ndarray
    shift_cycles: int


@dataclass(frozen=True)
class Pose:
    """Posed capsules of F frames and the rigid motions that posed them.

    Attributes:
        starts, ends: [F, 13, 3] float64 ends of the axes, object frame.
        radii: [13] float64.
        rotations: [F, 13, 3, 3] float64 and shifts: [F, 13, 3] float64, so that a point x of the neutral pose that
            is fixed to part p lies at ``rotations[f, p] @ x + shifts[f, p]``.
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    rotations: np.ndarray
    shifts: np.ndarray


def draw_motion(rng: np.random.Generator, drift: float = 0.0) -> Motion:
    """Draw a random smooth motion.

    Args:
        rng: source of all randomness.
        drift: amplitude of the root's slow shift along x and z, object units before scaling; 0 keeps the body in place
            (but for the rise and fall of the gait).
    """
    amplitude = np.zeros((2, PART_COUNT, 3))
    cycles = np.zeros((2, PART_COUNT, 3), dtype=np.int64)
    phase = rng.uniform(0, 2 * np.pi, (2, PART_COUNT, 3))
    gait = int(rng.integers(7, 10))
    for part, kind in enumerate(_KINDS):
        ranges = np.deg2rad(np.array(_TURN_DEG[kind], dtype=np.float64))
        total = rng.uniform(ranges[:, 0], ranges[:, 1])
        overtone = rng.uniform(0.1, 0.3, 3)
        amplitude[0, part], amplitude[1, part] = total * (1 - overtone), total * overtone
        cycles[0, part] = rng.integers(6, 11, 3)
        cycles[1, part] = rng.integers(3, 6, 3) if part < 3 else rng.integers(11, 16, 3)

    # Diagonal legs swing together and knees lag behind hips, loosely: every leg still has a phase of its own.
    start = rng.uniform(0, 2 * np.pi)
    looseness = rng.uniform(0.2, 1.0)
    for upper in (3, 5, 7, 9):
        cycles[0, upper : upper + 2, 2] = gait
        step = start + (np.pi if upper in (5, 7) else 0.0) + looseness * rng.normal()
        phase[0, upper, 2] = step
        phase[0, upper + 1, 2] = step - rng.uniform(0.8, 2.0)
    cycles[0, 11:13] = cycles[0, 11]
    phase[0, 12] = phase[0, 11] - rng.uniform(0.3, 1.2, 3)

    shift = np.array([drift, rng.uniform(0.03, 0.08), drift])
    return Motion(amplitude, cycles, phase, shift, rng.uniform(0, 2 * np.pi, 3), gait)


def joint_angles(motion: Motion, times: np.ndarray) -> np.ndarray:
    """Angles of every joint: [F, 13, 3] radians about x, y, z, zero in the neutral pose.

    Args:
        motion: the motion.
        times: [F] frame numbers; need not be whole.
    """
    turns = 2 * np.pi * np.asarray(times, dtype=np.float64) / PERIOD_FRAMES
    waves: np.ndarray = motion.amplitude * np.sin(motion.cycles * turns[:, None, None, None] + motion.phase)
    angles: np.ndarray = waves.sum(axis=1)
    return angles


def rotation_matrices(angles: np.ndarray) -> np.ndarray:
    """Rotations [..., 3, 3] from angles [..., 3] about x, y, z: roll about x first, then z, then y."""
    cx, cy, cz = np.moveaxis(np.cos(angles), -1, 0)
    sx, sy, sz = np.moveaxis(np.sin(angles), -1, 0)
    rows = (
        (cy * cz, -cy * sz * cx + sy * sx, cy * sz * sx + sy * cx),
        (sz, cz * cx, -cz * sx),
        (-sy * cz, sy * sz * cx + cy * sx, -sy * sz * sx + cy * cx),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose_creature(creature: Creature, motion: Motion, times: np.ndarray) -> Pose:
    """Forward kinematics of the capsule tree.

    Args:
        creature: neutral pose.
        motion: joint angles over time.
        times: [F] frame numbers.
    Returns:
        the capsules of every frame, in the neutral pose's frame and units.
    """
    times = np.asarray(times, dtype=np.float64)
    local = rotation_matrices(joint_angles(motion, times))
    rotations = np.empty((len(times), PART_COUNT, 3, 3))
    shifts = np.empty((len(times), PART_COUNT, 3))
    turns = 2 * np.pi * times[:, None] / PERIOD_FRAMES
    # Drift follows one slow cycle per period over two, the gait's bounce the legs.
    cycles = np.array([2, motion.shift_cycles, 1])
    root = motion.shift * np.sin(cycles * turns + motion.shift_phase)
    for part, parent in enumerate(PART_PARENTS):
        pivot = creature.pivots[part]
        offset = pivot - local[:, part] @ pivot
        if parent < 0:
            rotations[:, part], shifts[:, part] = local[:, part], offset + root
        else:
            rotations[:, part] = rotations[:, parent] @ local[:, part]
            shifts[:, part] = np.einsum("fij,fj->fi", rotations[:, parent], offset) + shifts[:, parent]
    starts = np.einsum("fpij,pj->fpi", rotations, creature.starts) + shifts
    ends = np.einsum("fpij,pj->fpi", rotations, creature.ends) + shifts
    return Pose(starts, ends, creature.radii, rotations, shifts)


def fit_unit_sphere(creature: Creature, motion: Motion) -> tuple[float, Pose]:
    """Scale and shift the animal so that frame 0 is centred at the origin and the whole motion is in the unit sphere.

    Returns:
        ``(scale, pose)``: the scale that was applied and the pose of all ``PERIOD_FRAMES`` frames, after which the
        motion repeats. One scale and one shift for all frames, however many are used, so that longer clips start
        with the shorter ones.
    """
    pose = pose_creature(creature, motion, np.arange(PERIOD_FRAMES))
    points = np.stack([pose.starts, pose.ends], axis=2)
    reach = pose.radii[None, :, None, None]
    centre = 0.5 * ((points[0] - reach[0]).min(axis=(0, 1)) + (points[0] + reach[0]).max(axis=(0, 1)))
    farthest = (np.linalg.norm(points - centre, axis=-1) + reach[..., 0]).max()
    scale = float(FIT_RADIUS / farthest)
    fitted = Pose(
        scale * (pose.starts - centre),
        scale * (pose.ends - centre),
        scale * pose.radii,
        pose.rotations,
        scale * (pose.shifts - centre),
    )
    return scale, fitted


def take_frames(pose: Pose, frames: np.ndarray) -> Pose:
    """The pose of the given frames only; ``frames`` is [n] indices."""
    return Pose(pose.starts[frames], pose.ends[frames], pose.radii, pose.rotations[frames], pose.shifts[frames])
