"""A scene with a known answer: an octahedron that turns and moves in front of a camera, and an engine that knows it.

Everything is a closed form of the stamp, so that tests can compare published messages with it. ROS-free.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from live import moving_plane
from stream.by_colour import ByColour

from attnchain_ros.config import RolloutConfig
from attnchain_ros.errors import Cancelled, MaskError
from attnchain_ros.node.anchoring import NewAnchor
from attnchain_ros.node.parameters import NodeSettings
from attnchain_ros.rollout.window import CameraTrack, PointTracks, Window, WindowResult

VERTICES = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
FACES = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], np.int32)
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]], np.uint8)
INTRINSICS = np.array([[50.0, 0, 15.5], [0, 50.0, 11.5], [0, 0, 1]])
BAD_LUCK = 13
"""A window whose first pixel has this value fails."""
NO_MEMORY = 14
"""A window whose first pixel has this value runs out of memory, once."""
ALWAYS_NO_MEMORY = 15
TURNED = 17
"""A window with a frame whose first pixel has this value is seen from the wrong side."""
DEAF = 16
"""A window whose first pixel has this value cannot be interrupted, as inside a step of torch."""


def vertices_at(stamp_ns: int) -> np.ndarray:
    """[V, 3] float32: the octahedron breathes."""
    return (VERTICES * np.float32(1 + 0.2 * np.sin(stamp_ns * 1e-9))).astype(np.float32)


def camera_from_object_at(stamp_ns: int) -> np.ndarray:
    """[4, 4]: turns about the camera's y axis, three units ahead."""
    angle = 0.5 * stamp_ns * 1e-9
    pose = np.eye(4)
    pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    pose[:3, 3] = [0.1, -0.2, 3.0]
    return pose


def make_result(
    stamps_ns: np.ndarray, *, index: int = 0, shared_first: bool = False, topology_id: int = 1, scale: float = 1.0
) -> WindowResult:
    """The true answer for a window; the tracks are the six vertices."""
    frames, count = len(stamps_ns), len(VERTICES)
    vertices = np.stack([vertices_at(int(stamp)) for stamp in stamps_ns])
    poses = np.stack([camera_from_object_at(int(stamp)) for stamp in stamps_ns])
    in_camera = np.einsum("fij,fvj->fvi", poses[:, :3, :3], vertices) + poses[:, None, :3, 3]
    pixels = in_camera @ INTRINSICS.T
    tracks = PointTracks(
        ids=np.arange(10, 10 + count),
        points_px=(pixels[..., :2] / pixels[..., 2:]).astype(np.float32),
        points_object=vertices,
        points_camera=in_camera.astype(np.float32),
        visible=np.broadcast_to(np.arange(count) % 2 == 0, (frames, count)).copy(),
        confidence=np.full((frames, count), 0.75, np.float32),
        colors=COLORS,
        face=np.zeros(count, np.int32),
        barycentric=np.zeros((count, 3), np.float32),
    )
    camera = CameraTrack(
        intrinsics=INTRINSICS,
        intrinsics_given=True,
        camera_from_object=poses,
        valid=np.ones(frames, bool),
        inliers=np.full(frames, 20, np.int32),
        reprojection_px=np.full(frames, 0.5, np.float32),
        covariance=np.tile(np.diag([1e-4, 2e-4, 9e-4, 1e-5, 2e-5, 3e-5]), (frames, 1, 1)),
    )
    return WindowResult(
        index=index,
        topology_id=topology_id,
        stamps_ns=np.asarray(stamps_ns, np.int64),
        shared_first=shared_first,
        vertices=vertices,
        faces=FACES,
        vertex_colors=COLORS,
        confidence=np.full(frames, 0.9, np.float32),
        landmark_vertices=np.arange(count),
        landmarks=vertices,
        landmark_valid=np.ones((frames, count), bool),
        tracks=tracks,
        camera=camera,
        scale=scale,
        metric=scale != 1.0,
        silhouette_iou=1.0,
        timings_s={"all": 0.001},
    )


class HandMadeEngine:
    """Answers windows with the truth, in ``seconds``; keeps what it was asked for tests."""

    description = "hand-made engine"

    def __init__(self, settings: NodeSettings, seconds: float = 0.0) -> None:
        self.settings = settings
        self.seconds = seconds
        self.windows: list[Window] = []
        self.configs: list[RolloutConfig] = []
        self.resets = 0
        self.anchors: list[NewAnchor] = []
        self.saved_memory = 0
        self.in_window = threading.Event()
        self.beside_me: dict[int, HandMadeEngine] = {}
        self.finishing, self.may_finish = threading.Event(), threading.Event()
        self.may_finish.set()
        self.faults: list[Exception] = []
        self._index = self._topology = 0
        self._last_ns: int | None = None

    def resolve(self, settings: NodeSettings) -> NodeSettings:
        """No recommendations."""
        return settings

    def beside(self, object_id: int) -> HandMadeEngine:
        """This one for the first object, so that tests can look at it; others for those that come later."""
        found = type(self)(self.settings, self.seconds) if self.beside_me else self
        self.beside_me[object_id] = found
        return found

    def configure(self, config: RolloutConfig) -> None:
        """Keep the config."""
        self.configs.append(config)

    def reset(self) -> None:
        """Start anew."""
        self.resets += 1
        self._index, self._last_ns = 0, None
        self._topology += 1

    def make_tracker(self) -> ByColour:
        """Follows colours."""
        return ByColour()

    def take_anchor(self, new: NewAnchor) -> None:
        """Keep it; from now on the results have its mesh."""
        self.anchors.append(new)

    def save_memory(self) -> None:
        """Count."""
        self.saved_memory += 1

    def run(
        self, window: Window, progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> WindowResult:
        """The truth, or the fault that the first pixel asks for."""
        self.in_window.set()
        self.windows.append(window)
        order = int(window.images[0, 0, 0, 0])
        if order == BAD_LUCK:
            raise MaskError("all masks are empty")
        if order == ALWAYS_NO_MEMORY or (order == NO_MEMORY and not self.saved_memory):
            raise RuntimeError("CUDA out of memory. Tried to allocate 1 GiB")
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            progress("waiting", 0, 1)
            if order != DEAF and cancelled():
                raise Cancelled("asked to stop")
            time.sleep(0.002)
        shared = self._last_ns is not None and self._last_ns == int(window.stamps_ns[0])
        result = self.answer(window, shared)
        self._index += 1
        self._last_ns = int(window.stamps_ns[-1])
        return result

    def begin(
        self, window: Window, progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> Callable[[], WindowResult]:
        """As ``run``; what is left fails as often as ``faults`` says, and waits for ``may_finish``."""
        result = self.run(window, progress, cancelled)

        def finish() -> WindowResult:
            self.finishing.set()
            while not self.may_finish.wait(0.002):
                if cancelled():
                    raise Cancelled("asked to stop")
            if self.faults:
                raise self.faults.pop(0)
            return result

        return finish

    def answer(self, window: Window, shared_first: bool) -> WindowResult:
        """The truth about a window, or the anchor that was set at rest."""
        result = make_result(window.stamps_ns, index=self._index, shared_first=shared_first, topology_id=self._topology)
        new = self.anchors[-1] if self.anchors else None
        if new is None or new.anchor is None:
            return result
        rest = new.anchor.mesh.vertices[new.anchor.expand]
        return replace(
            result,
            vertices=np.broadcast_to(rest, (len(window.stamps_ns), *rest.shape)),
            faces=new.anchor.faces,
            vertex_colors=np.full((len(rest), 3), 90, np.uint8),
            scale=new.size_m or 1.0,
        )


class MaskEngine(HandMadeEngine):
    """Tells by the scale how many pixels the masks of a window have, on the average."""

    def answer(self, window: Window, shared_first: bool) -> WindowResult:
        """The truth, so scaled."""
        result = super().answer(window, shared_first)
        return replace(result, scale=float(window.masks.sum(axis=(1, 2)).mean()), metric=True)


class PlaneEngine(HandMadeEngine):
    """Knows the textured plane of ``live.moving_plane``, which a camera can follow."""

    def answer(self, window: Window, shared_first: bool) -> WindowResult:
        """The truth about a window of it, or the plane from behind."""
        result = moving_plane.make_result(window.stamps_ns, index=self._index, shared_first=shared_first)
        if not (window.images[:, 0, 0, 0] == TURNED).any():
            return result
        poses = result.camera.camera_from_object @ np.diag([-1.0, 1.0, -1.0, 1.0])
        return replace(result, camera=replace(result.camera, camera_from_object=poses))
