"""A four-legged animal of thirteen capsules, which walks, turns its head and wags its tail.

In the neutral pose it looks along +x, its own right side faces +z.
"""

from __future__ import annotations

import numpy as np

from ..model import Model, capsules, tinted
from ..motion import Motion, Waves

PART_NAMES = (
    "body",
    "neck",
    "head",
    "front_right_upper",
    "front_right_lower",
    "front_left_upper",
    "front_left_lower",
    "hind_right_upper",
    "hind_right_lower",
    "hind_left_upper",
    "hind_left_lower",
    "tail_base",
    "tail_tip",
)
"""Names of the parts, in the order of every part axis; right is the side that faces +z."""

PART_PARENTS = (-1, 0, 1, 0, 3, 0, 5, 0, 7, 0, 9, 0, 11)

_PARTS = len(PART_NAMES)
_HEAD = PART_NAMES.index("head")

# Left and right, front and hind differ in hue and not only in brightness, so that a leg stays recognisable in shade.
_COLORS = np.array(
    [
        (205, 165, 110),
        (240, 205, 70),
        (165, 75, 175),
        (230, 60, 55),
        (250, 130, 150),
        (255, 160, 50),
        (185, 110, 40),
        (60, 105, 230),
        (45, 60, 150),
        (70, 195, 205),
        (150, 235, 225),
        (85, 180, 80),
        (30, 120, 65),
    ]
)

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


def draw_model(rng: np.random.Generator) -> Model:
    """Draw random proportions and colours; the animal is about two units long."""
    starts = np.zeros((_PARTS, 3))
    ends = np.zeros((_PARTS, 3))
    radii = np.zeros(_PARTS)

    half_length = rng.uniform(0.44, 0.56)
    body_radius = rng.uniform(0.18, 0.26)
    starts[0], ends[0], radii[0] = (-half_length, 0.0, 0.0), (half_length, 0.0, 0.0), body_radius

    neck_rise = np.deg2rad(rng.uniform(25, 70))
    neck_length = rng.uniform(0.28, 0.48)
    radii[1] = rng.uniform(0.10, 0.135)
    starts[1] = (half_length, 0.35 * body_radius, 0.0)
    ends[1] = starts[1] + neck_length * np.array([np.cos(neck_rise), np.sin(neck_rise), 0.0])
    head_drop = np.deg2rad(rng.uniform(-35, 10))
    starts[2] = ends[1]
    ends[2] = starts[2] + rng.uniform(0.20, 0.34) * np.array([np.cos(head_drop), np.sin(head_drop), 0.0])
    radii[2] = rng.uniform(0.12, 0.155)

    upper_length, lower_length = rng.uniform(0.27, 0.35), rng.uniform(0.25, 0.33)
    leg_radius = rng.uniform(0.10, 0.13)
    # The gap keeps left and right legs apart in the neutral pose, where the mesh is extracted.
    side = max(0.62 * body_radius, leg_radius + 0.045)
    for first, front in ((3, True), (5, True), (7, False), (9, False)):
        lateral = side if first in (3, 7) else -side
        hip = np.array([(1 if front else -1) * (half_length - rng.uniform(0.0, 0.04)), -0.35 * body_radius, lateral])
        lean = np.deg2rad(rng.uniform(-4, 8) if front else rng.uniform(0, 12))
        bend = np.deg2rad(rng.uniform(8, 22))
        starts[first] = hip
        ends[first] = hip + upper_length * np.array([np.sin(lean), -np.cos(lean), 0.0])
        starts[first + 1] = ends[first]
        ends[first + 1] = ends[first] + lower_length * np.array([np.sin(lean - bend), -np.cos(lean - bend), 0.0])
        radii[first], radii[first + 1] = leg_radius, leg_radius * rng.uniform(0.82, 0.95)

    tail_rise = np.deg2rad(rng.uniform(-25, 50))
    tail_length = rng.uniform(0.22, 0.34)
    starts[11] = (-half_length, 0.4 * body_radius, 0.0)
    ends[11] = starts[11] + tail_length * np.array([-np.cos(tail_rise), np.sin(tail_rise), 0.0])
    tip_rise = tail_rise + np.deg2rad(rng.uniform(-30, 40))
    starts[12] = ends[11]
    ends[12] = starts[12] + rng.uniform(0.20, 0.32) * np.array([-np.cos(tip_rise), np.sin(tip_rise), 0.0])
    radii[11] = rng.uniform(0.09, 0.115)
    radii[12] = radii[11] * rng.uniform(0.85, 1.0)

    pivots = starts.copy()
    pivots[0] = 0.0
    return Model(capsules(starts, ends, radii), PART_PARENTS, pivots, tinted(_COLORS, rng), soft=True, eyes=_HEAD)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw a random gait; ``model`` plays no role."""
    amplitude = np.zeros((2, _PARTS, 3))
    cycles = np.zeros((2, _PARTS, 3), dtype=np.int64)
    phase = rng.uniform(0, 2 * np.pi, (2, _PARTS, 3))
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

    bounce = Waves.still(_PARTS)
    bounce.amplitude[0, 0, 1], bounce.cycles[0, 0, 1] = rng.uniform(0.03, 0.08), gait
    bounce.phase[0, 0] = rng.uniform(0, 2 * np.pi, 3)
    return Motion(Waves(amplitude, cycles, phase), bounce)
