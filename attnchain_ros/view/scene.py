"""The objects of the page: the mesh of each frame as a GLB of its own, points, cameras; viser draws them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..camera.poses import quaternion_xyzw
from ..files.animation import animated_glb_bytes
from .footage import Eye, Footage, Moment, Shape

if TYPE_CHECKING:
    import viser

PICTURE, CONFIDENCE = "picture", "confidence"
COLORINGS = (PICTURE, CONFIDENCE)
_GREY = np.array([150, 150, 150])
_LOW, _MIDDLE, _HIGH = (np.array(color, np.float64) for color in ((214, 47, 39), (249, 216, 90), (42, 157, 86)))
_MOST_EYES = 24
"""Cameras drawn along the path."""


def confidence_colors(confidence: np.ndarray) -> np.ndarray:
    """[..., 3] uint8 of values in [0, 1]: red, yellow, green; grey where they are not known.

    >>> confidence_colors(np.array([0.0, 1.0, np.nan])).tolist()
    [[214, 47, 39], [42, 157, 86], [150, 150, 150]]
    """
    value = np.clip(np.nan_to_num(confidence), 0.0, 1.0)[..., None]
    low = _LOW + (_MIDDLE - _LOW) * np.minimum(2 * value, 1)
    mixed = np.where(value > 0.5, _MIDDLE + (_HIGH - _MIDDLE) * (2 * value - 1), low)
    found: np.ndarray = np.where(np.isfinite(confidence)[..., None], np.rint(mixed), _GREY).astype(np.uint8)
    return found


class Scene:
    """Keeps the meshes of frames near the one that is shown in the browser, so that playing sends each only once.

    Not thread-safe: one owner calls it.

    Args:
        server: of viser.
        footage: what is shown.
        budget: bytes of meshes that browsers keep; the ones not shown for longest go first.
    """

    def __init__(self, server: viser.ViserServer, footage: Footage, budget: int) -> None:
        self._server = server
        self._footage = footage
        self._budget = budget
        self._meshes: OrderedDict[tuple[int, int], tuple[Any, int]] = OrderedDict()
        self._shown: Any = None
        self._points: Any = None
        self._eye: Any = None
        self._eyes: list[Any] = []
        self._size = 1.0
        self.coloring = PICTURE
        self.visible = {"mesh": True, "tracks": True, "camera": True, "path": True}

    def frame_view(self, moment: Moment) -> None:
        """Look at the object over the camera's shoulder; browsers that open the page later start there."""
        low, high = moment.shape.vertices.min(axis=0), moment.shape.vertices.max(axis=0)
        center, self._size = 0.5 * (low + high), float(np.linalg.norm(high - low)) or 1.0
        ahead = np.array([0.0, 0.0, 2.0 * self._size])
        if moment.eye is not None:
            ahead = moment.eye.object_from_camera[:3, 3] - center
        away = float(np.clip(np.linalg.norm(ahead), 1.2 * self._size, 4.0 * self._size))
        ahead /= max(float(np.linalg.norm(ahead)), 1e-9)
        aside = np.cross([0.0, 1.0, 0.0], ahead)
        view = center + away * (1.2 * ahead + 0.6 * aside + np.array([0.0, 0.35, 0.0]))
        self._server.scene.set_up_direction("+y")
        self._server.initial_camera.position = view
        self._server.initial_camera.look_at = center

    def show(self, moment: Moment) -> None:
        """Everything of one frame, in place of the one before."""
        with self._server.atomic():
            handle = self.prepare(moment)
            if self._shown is not None and self._shown is not handle:
                self._shown.visible = False
            handle.visible = self.visible["mesh"]
            self._shown = handle
            self._show_points(moment)
            self._show_eye(moment)
        self._evict()

    def prepare(self, moment: Moment) -> Any:
        """Send a frame's mesh ahead, hidden; returns its handle."""
        key = (self._footage.generation, moment.number)
        if key in self._meshes:
            self._meshes.move_to_end(key)
            return self._meshes[key][0]
        data = self._mesh_bytes(moment.shape)
        name = f"/mesh/{key[0]}_{moment.number:06d}"
        handle = self._server.scene.add_glb(name, data, visible=False, cast_shadow=False, receive_shadow=False)
        self._meshes[key] = (handle, len(data))
        return handle

    def repaint(self) -> None:
        """Forget the meshes that were sent: they are to be coloured otherwise."""
        for handle, _ in self._meshes.values():
            handle.remove()
        self._meshes.clear()
        self._shown = None

    def show_path(self) -> None:
        """Some cameras along the way, without images."""
        for handle in self._eyes:
            handle.remove()
        self._eyes = []
        lens, eyes = self._footage.lens, self._footage.eyes()
        if lens is None or not self.visible["path"] or not eyes:
            return
        with self._server.atomic():
            chosen = np.unique(np.linspace(0, len(eyes) - 1, min(len(eyes), _MOST_EYES)).astype(int))
            for number in chosen.tolist():
                handle = self._frustum(f"/path/{number:06d}", eyes[number], 0.03)
                self._eyes.append(handle)

    @property
    def sent(self) -> int:
        """Bytes of meshes that browsers hold."""
        return sum(size for _, size in self._meshes.values())

    def _mesh_bytes(self, shape: Shape) -> bytes:
        colors = shape.surface.colors
        if self.coloring == CONFIDENCE or colors is None:
            sure = np.full(len(shape.vertices), shape.confidence if self.coloring == CONFIDENCE else np.nan)
            colors = confidence_colors(sure)
        return animated_glb_bytes(shape.vertices[None], shape.surface.faces, colors, np.zeros(1))

    def _show_points(self, moment: Moment) -> None:
        found = moment.points
        if found is None or not self.visible["tracks"]:
            if self._points is not None:
                self._points.remove()
                self._points = None
            return
        drawn = found.visible & np.isfinite(found.positions).all(axis=1)
        own = confidence_colors(found.confidence) if self.coloring == CONFIDENCE else found.colors
        # One of the same name takes the place of the one before.
        self._points = self._server.scene.add_point_cloud(
            "/tracks",
            np.ascontiguousarray(found.positions[drawn], np.float32),
            np.ascontiguousarray(own[drawn]),
            point_size=0.006 * self._size,
            point_shape="circle",
            precision="float32",
        )

    def _show_eye(self, moment: Moment) -> None:
        if moment.eye is None or self._footage.lens is None or not self.visible["camera"]:
            if self._eye is not None:
                self._eye.remove()
                self._eye = None
            return
        self._eye = self._frustum("/camera", moment.eye, 0.14, moment)

    def _frustum(self, name: str, eye: Eye, share: float, moment: Moment | None = None) -> Any:
        """A camera ``share`` of the object long; with ``moment`` that of its frame, with its image."""
        lens = self._footage.lens
        assert lens is not None
        color = _GREY if moment is None else confidence_colors(np.array(moment.shape.confidence))
        if not eye.trusted:
            color = _LOW.astype(np.uint8)
        x, y, z, w = quaternion_xyzw(eye.object_from_camera[:3, :3]).tolist()
        return self._server.scene.add_camera_frustum(
            name,
            fov=lens.fov,
            aspect=lens.aspect,
            scale=share * self._size,
            thickness=(0.001 if moment is None else 0.003) * self._size,
            color=np.asarray(color, np.uint8),
            image=None if moment is None else moment.image,
            format="jpeg",
            wxyz=np.array([w, x, y, z]),
            position=eye.object_from_camera[:3, 3],
        )

    def _evict(self) -> None:
        while self.sent > self._budget and len(self._meshes) > 1:
            _, (handle, _) = self._meshes.popitem(last=False)
            handle.remove()
