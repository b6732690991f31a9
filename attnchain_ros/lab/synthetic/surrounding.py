"""A room around the object: walls, floor and ceiling with a texture that has no preferred direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CELLS = (0.11, 0.23, 0.5, 1.1)
"""Edges of the texture's fields, object units; the smallest is four pixels of a 256-pixel picture, six units away."""

_CONTRAST = 85.0
"""Largest departure from a face's base colour, of 255."""

_PRIMES = np.array([73856093, 19349663, 83492791, 2654435761], np.uint64)


@dataclass(frozen=True)
class Room:
    """A box with the object in its middle.

    Attributes:
        low, high: [3] corners, object frame, object units; cameras stand inside.
        colors: [6, 3] base colours of its faces: -x, -y, -z, +x, +y, +z.
        seed: of the texture.
    """

    low: np.ndarray
    high: np.ndarray
    colors: np.ndarray
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Room:
        """A room of random size: walls 4 to 7 units away, the floor just below the object."""
        walls, floor, ceiling = rng.uniform(4.0, 7.0, 4), rng.uniform(1.05, 1.4), rng.uniform(3.5, 5.0)
        low = np.array([-walls[0], -floor, -walls[1]])
        high = np.array([walls[2], ceiling, walls[3]])
        return cls(low, high, rng.uniform(70.0, 190.0, (6, 3)), int(rng.integers(2**31)))

    def paint(self, images: np.ndarray, masks: np.ndarray, intrinsics: np.ndarray, poses: np.ndarray) -> np.ndarray:
        """Pictures with the room where the object is not.

        Args:
            images: [F, S, S, 3] uint8.   masks: [F, S, S] bool, the object.
            intrinsics: [3, 3] K, pixels.   poses: [F, 4, 4] camera_from_object, inside the room.
        Returns:
            [F, S, S, 3] uint8, one ray through each pixel's centre.
        """
        painted = images.copy()
        for frame, pose in enumerate(poses):
            row, column = np.nonzero(~masks[frame])
            rays = np.stack([column, row, np.ones(len(row))], axis=1) @ np.linalg.inv(intrinsics).T
            face, place = self.meet(-pose[:3, :3].T @ pose[:3, 3], rays @ pose[:3, :3])
            shade = self.colors[face] + _CONTRAST * self._texture(face, place)[:, None]
            painted[frame, row, column] = np.clip(shade, 0, 255).astype(np.uint8)
        return painted

    def meet(self, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays [n, 3] from a place [3] inside leave the room: face [n] int64 and point [n, 3]."""
        with np.errstate(divide="ignore"):
            walls = np.where(rays > 0, self.high, self.low)
            reach = np.where(rays != 0, (walls - eye) / rays, np.inf)
        axis = reach.argmin(axis=1)
        point = eye + rays * reach.min(axis=1)[:, None]
        return axis + 3 * (np.take_along_axis(rays, axis[:, None], 1)[:, 0] > 0), point

    def _texture(self, face: np.ndarray, place: np.ndarray) -> np.ndarray:
        """[n] in [-1, 1]: smooth random numbers on lattices of several sizes, fixed to the faces."""
        axis = face % 3
        flat = np.take_along_axis(place, np.stack([(axis + 1) % 3, (axis + 2) % 3], axis=1), 1)
        total = np.zeros(len(face))
        for octave, cell in enumerate(_CELLS):
            low = np.floor(flat / cell)
            part = flat / cell - low
            part = part * part * (3 - 2 * part)
            for step_x in (0, 1):
                for step_y in (0, 1):
                    corner = low.astype(np.int64) + np.array([step_x, step_y])
                    weight = np.abs(1 - step_x - part[:, 0]) * np.abs(1 - step_y - part[:, 1])
                    total += weight * self._chance(corner, face, octave)
        return np.clip(total / 1.6, -1.0, 1.0)

    def _chance(self, corner: np.ndarray, face: np.ndarray, octave: int) -> np.ndarray:
        """A number in [-1, 1] for each lattice corner [n, 2]."""
        keys = np.stack([corner[:, 0], corner[:, 1], face * 8 + octave, np.full(len(face), self.seed)], axis=1)
        mixed = np.bitwise_xor.reduce(keys.astype(np.uint64) * _PRIMES, axis=1)
        for _ in range(2):
            mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
        return (mixed >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0
