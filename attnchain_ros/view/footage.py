"""What there is to look at, by the images' stamps: meshes, tracks, cameras and images, however they came."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..notes import Notes

IMAGE_SIDE = 320
"""Longest side in pixels of the images that are kept: they are shown small."""


@dataclass(frozen=True)
class Surface:
    """What the frames of one mesh share.

    Attributes:
        topology: its number; another number is another mesh.
        faces: [T, 3] int32.
        colors: [V, 3] uint8, or None.
    """

    topology: int
    faces: np.ndarray
    colors: np.ndarray | None


@dataclass(frozen=True)
class Shape:
    """The mesh at one image.

    Attributes:
        surface: its triangles and colours.
        vertices: [V, 3] float32, object frame.
        confidence: in [0, 1]; NaN = not known.
    """

    surface: Surface
    vertices: np.ndarray
    confidence: float


@dataclass(frozen=True)
class Points:
    """The tracks at one image.

    Attributes:
        positions: [Q, 3] float32, object frame; NaN = absent.
        colors: [Q, 3] uint8.   visible: [Q] bool.   confidence: [Q] float32 in [0, 1], NaN = not known.
    """

    positions: np.ndarray
    colors: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True)
class Eye:
    """The camera at one image: object_from_camera [4, 4] rigid, and whether its pose is trusted."""

    object_from_camera: np.ndarray
    trusted: bool


@dataclass(frozen=True)
class Lens:
    """How wide the camera sees: K [3, 3] in pixels, and the height and width of its images."""

    intrinsics: np.ndarray
    size: tuple[int, int]

    @property
    def fov(self) -> float:
        """Vertical angle of view, radians."""
        return float(2.0 * np.arctan(0.5 * self.size[0] / self.intrinsics[1, 1]))

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.size[1] / self.size[0]


@dataclass(frozen=True)
class Moment:
    """Everything that is known at one image; None = nothing."""

    number: int
    stamp_ns: int
    shape: Shape
    points: Points | None
    eye: Eye | None
    image: np.ndarray | None


class Footage:
    """Meshes with what belongs to their stamps; may grow while it is looked at. Thread-safe.

    A mesh whose stamp lies before the last one by more than its own window starts anew: a bag that is looped, a clock
    that was set back. Images without a mesh yet are kept for a while, since results come later than they.

    Args:
        most: frames that are kept, the oldest go first; 0 = all.

    Attributes:
        name: what is looked at.
        notes: what was assumed or left out.
    """

    def __init__(self, name: str, most: int = 0) -> None:
        self.name = name
        self.notes = Notes()
        self._most = most
        self._lock = threading.Lock()
        self._shapes: dict[int, Shape] = {}
        self._points: dict[int, Points] = {}
        self._eyes: dict[int, Eye] = {}
        self._images: dict[int, np.ndarray] = {}
        self._lens: Lens | None = None
        self._intrinsics: np.ndarray | None = None
        self._generation = 0
        self._first = 0

    def add_window(self, stamps_ns: np.ndarray, surface: Surface, vertices: np.ndarray, confidence: np.ndarray) -> None:
        """Meshes of one window.

        Args:
            stamps_ns: [F] int64.   surface: of all of them.
            vertices: [F, V, 3] float32.   confidence: [F], NaN = not known.
        """
        with self._lock:
            if self._shapes and int(stamps_ns[-1]) < next(reversed(self._shapes)):
                # What belongs to the new pass may have come before its mesh, so that only meshes go.
                self._first += len(self._shapes)
                self._generation += 1
                self._shapes.clear()
            for stamp, moved, sure in zip(stamps_ns.tolist(), vertices, confidence.tolist(), strict=True):
                self._shapes.setdefault(stamp, Shape(surface, moved, sure))
            while self._most and len(self._shapes) > self._most:
                gone = next(iter(self._shapes))
                self._first += 1
                shared: tuple[dict[int, Any], ...] = (self._shapes, self._points, self._eyes)
                for kept in shared:
                    kept.pop(gone, None)

    def add_points(self, stamp_ns: int, points: Points) -> None:
        """Tracks at one image."""
        with self._lock:
            self._points[stamp_ns] = points
            self._trim(self._points)

    def add_eye(self, stamp_ns: int, eye: Eye) -> None:
        """The camera at one image."""
        with self._lock:
            self._eyes[stamp_ns] = eye
            self._trim(self._eyes)

    def add_image(self, stamp_ns: int, image: np.ndarray) -> None:
        """An image [H, W, 3] uint8 RGB as the camera saw it; it is kept small."""
        height, width = image.shape[:2]
        factor = min(1.0, IMAGE_SIDE / max(height, width))
        small = image
        if factor < 1.0:
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        with self._lock:
            self._images[stamp_ns] = np.ascontiguousarray(small)
            self._trim(self._images)
            if self._intrinsics is not None:
                self._lens = Lens(self._intrinsics, (height, width))

    def set_intrinsics(self, intrinsics: np.ndarray, size: tuple[int, int] | None = None) -> None:
        """K [3, 3] of the images; ``size``: their height and width, None = as the images, or twice the centre."""
        with self._lock:
            self._intrinsics = np.asarray(intrinsics, np.float64)
            if size is None and self._lens is None:
                size = (round(2 * intrinsics[1, 2]) + 1, round(2 * intrinsics[0, 2]) + 1)
            if size is not None:
                self._lens = Lens(self._intrinsics, size)

    @property
    def lens(self) -> Lens | None:
        """Of the camera, None = not known."""
        with self._lock:
            return self._lens

    @property
    def generation(self) -> int:
        """Goes up when everything from before is forgotten."""
        with self._lock:
            return self._generation

    @property
    def span(self) -> tuple[int, int]:
        """Number of the first frame that is kept, and one past the last; a frame keeps its number."""
        with self._lock:
            return self._first, self._first + len(self._shapes)

    def stamps(self) -> list[int]:
        """Stamps of the frames that are kept."""
        with self._lock:
            return list(self._shapes)

    def moment(self, number: int) -> Moment | None:
        """What is known at a frame; None if it is not kept any more, or not there yet."""
        with self._lock:
            place = number - self._first
            if not 0 <= place < len(self._shapes):
                return None
            stamp = list(self._shapes)[place]
            return Moment(
                number, stamp, self._shapes[stamp], self._points.get(stamp), self._eyes.get(stamp),
                self._images.get(stamp),
            )  # fmt: skip

    def eyes(self) -> list[Eye]:
        """The cameras of all frames that have one, in order."""
        with self._lock:
            return [self._eyes[stamp] for stamp in self._shapes if stamp in self._eyes]

    def run_of(self, number: int) -> tuple[Surface, np.ndarray, np.ndarray] | None:
        """The frames around one that are of the same mesh: surface, vertices [F, V, 3] and stamps [F]."""
        with self._lock:
            stamps = list(self._shapes)
            place = number - self._first
            if not 0 <= place < len(stamps):
                return None
            surface = self._shapes[stamps[place]].surface
            first = last = place
            while first > 0 and same_mesh(self._shapes[stamps[first - 1]].surface, surface):
                first -= 1
            while last + 1 < len(stamps) and same_mesh(self._shapes[stamps[last + 1]].surface, surface):
                last += 1
            chosen = stamps[first : last + 1]
            surface = self._shapes[chosen[-1]].surface  # colours get better with every window
            return surface, np.stack([self._shapes[stamp].vertices for stamp in chosen]), np.array(chosen, np.int64)

    def _trim(self, kept: dict[int, Any]) -> None:
        """What waits for a mesh is bounded as well."""
        while self._most and len(kept) > 2 * self._most:
            kept.pop(next(iter(kept)))


def same_mesh(one: Surface, other: Surface) -> bool:
    """Whether two windows move the same vertices."""
    return one is other or (one.topology == other.topology and np.array_equal(one.faces, other.faces))


def track_colors(ids: np.ndarray) -> np.ndarray:
    """[Q, 3] uint8: a bright colour of its own for every id [Q], far from those of its neighbours."""
    hue = (np.asarray(ids, np.float64) * 0.61803398875) % 1.0
    turned = (hue[:, None] + np.array([0.0, 2 / 3, 1 / 3])) % 1.0
    found: np.ndarray = (255 * np.clip(np.abs(6 * turned - 3) - 1, 0.15, 1)).astype(np.uint8)
    return found
