"""A hand-like gripper: wrist, palm, four fingers and a thumb of two phalanges each; the palm faces the front."""

from __future__ import annotations

import numpy as np

from ..model import Model, capsules, join_solids, mirror_solids, tinted
from ..motion import Motion, Waves
from ..solids import Solids
from .swing import swing

PART_NAMES = (
    "palm",
    "wrist",
    "index_base",
    "index_tip",
    "middle_base",
    "middle_tip",
    "ring_base",
    "ring_tip",
    "little_base",
    "little_tip",
    "thumb_base",
    "thumb_tip",
)

_PARENTS = (-1, 0, 0, 2, 0, 4, 0, 6, 0, 8, 0, 10)
_COLORS = np.array(
    [
        (225, 180, 150),
        (80, 90, 120),
        (235, 95, 80),
        (255, 150, 130),
        (250, 190, 60),
        (255, 225, 130),
        (95, 185, 100),
        (165, 225, 150),
        (75, 130, 225),
        (145, 190, 250),
        (170, 90, 190),
        (220, 155, 230),
    ]
)
_LENGTHS = (0.92, 1.0, 0.94, 0.8)
"""Index to little finger, relative to the longest."""


def draw_model(rng: np.random.Generator) -> Model:
    """Draw proportions, left or right and colours; fingers up, about two units high."""
    radius = rng.uniform(0.083, 0.093)
    pitch = 2 * radius + rng.uniform(0.05, 0.065)
    thick, tall = rng.uniform(0.1, 0.12), rng.uniform(0.24, 0.3)
    palm = Solids(
        np.zeros((1, 3)), np.eye(3)[None], np.array([[1.5 * pitch + radius - thick, tall, 0.0]]), np.array([thick])
    )
    starts, ends, radii = [np.array([0.0, -tall, 0.0])], [np.array([0.0, -tall - rng.uniform(0.25, 0.35), 0.0])], []
    radii.append(rng.uniform(0.16, 0.2))
    base, tip = rng.uniform(0.32, 0.38), rng.uniform(0.27, 0.33)
    # Half bent in the middle of the range: first towards the front a little, then more.
    bend = np.deg2rad(rng.uniform(16, 24))
    for finger, share in enumerate(_LENGTHS):
        start = np.array([(finger - 1.5) * pitch, tall + 0.3 * thick, 0.0])
        for length, angle in ((base * share, bend), (tip * share, 2 * bend)):
            starts.append(start)
            start = start + length * np.array([0.0, np.cos(angle), np.sin(angle)])
            ends.append(start)
            radii.append(radius)
    start = np.array([-1.5 * pitch - 0.5 * radius, -0.35 * tall, 0.3 * thick])
    for length, direction in ((rng.uniform(0.26, 0.32), (-0.72, 0.5, 0.48)), (0.25, (-0.35, 0.75, 0.56))):
        starts.append(start)
        start = start + length * np.array(direction) / np.linalg.norm(direction)
        ends.append(start)
        radii.append(1.08 * radius)
    limbs = capsules(np.array(starts), np.array(ends), np.array(radii))
    solids, pivots = join_solids(palm, limbs), np.array([np.array([0.0, -tall, 0.0]), *starts])
    if rng.random() < 0.5:
        solids, pivots = mirror_solids(solids), pivots * [-1, 1, 1]
    return Model(solids, _PARENTS, pivots, tinted(_COLORS, rng), soft=True)


def draw_motion(rng: np.random.Generator, model: Model) -> Motion:
    """Draw how the fingers close one after another while the hand turns."""
    turns = Waves.still(len(model.parents))
    for axis, (low, high) in enumerate(((5, 9), (14, 24), (4, 9))):
        swing(turns, 0, axis, np.deg2rad(rng.uniform(low, high)), rng, phase=rng.uniform(0, 2 * np.pi))
    # One beat for all fingers: they stay in order and close like a wave.
    beat = int(rng.integers(6, 9))
    phase, lag = None, rng.uniform(-0.45, 0.45)
    for finger in range(4):
        part = 2 + 2 * finger
        phase = swing(turns, part, 0, np.deg2rad(rng.uniform(30, 38)), rng, (beat, beat), phase)
        swing(turns, part + 1, 0, np.deg2rad(rng.uniform(26, 36)), rng, (beat, beat), phase - rng.uniform(0.1, 0.5))
        phase += lag
    for axis in (1, 2):
        swing(turns, 10, axis, np.deg2rad(rng.uniform(10, 20)), rng, (beat, beat))
    swing(turns, 11, 0, np.deg2rad(rng.uniform(15, 25)), rng, (beat, beat))
    return Motion(turns, Waves.still(len(model.parents)))
