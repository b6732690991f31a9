"""The procedural animal: thirteen capsules in a tree, its random proportions and its colours.

Neutral pose, before any scaling: the animal looks along +x, y is up, its own right side faces +z, which is where the
camera of the side view stands. Parts are rigid; a joint turns a part and everything that hangs on it about the
part's pivot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

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
"""Index of the part each part hangs on; -1 is the root. A parent always comes before its children."""

PART_COUNT = len(PART_NAMES)

# Left and right, front and hind differ in hue and not only in brightness, so that a leg stays recognisable in shade.
BASE_COLORS = (
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
)
"""Colour of each part before the random variation, RGB."""


@dataclass(frozen=True)
class Creature:
    """One animal in its neutral pose.

    Attributes:
        starts: [13, 3] float64 first end of every part's axis, object units; for all parts but the body this is
            where the part hangs on its parent.
        ends: [13, 3] float64 second end.
        radii: [13] float64.
        pivots: [13, 3] float64 point about which the part's joint turns.
        colors: [13, 3] uint8 RGB.
    """

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    pivots: np.ndarray
    colors: np.ndarray

    def scaled(self, scale: float) -> Creature:
        """The same animal, every length times ``scale``."""
        return replace(
            self,
            starts=self.starts * scale,
            ends=self.ends * scale,
            radii=self.radii * scale,
            pivots=self.pivots * scale,
        )


def draw_creature(rng: np.random.Generator) -> Creature:
    """Draw random proportions and colours.

    Args:
        rng: source of all randomness.
    Returns:
        the animal, about two units long; ``motion.fit_unit_sphere`` scales it.
    """
    starts = np.zeros((PART_COUNT, 3))
    ends = np.zeros((PART_COUNT, 3))
    radii = np.zeros(PART_COUNT)

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
    tint = rng.uniform(0.85, 1.12, (PART_COUNT, 3)) * rng.uniform(0.92, 1.06)
    colors = np.clip(np.array(BASE_COLORS) * tint, 0, 255).astype(np.uint8)
    return Creature(starts, ends, radii, pivots, colors)
