"""Results as a rosbag2 folder: the node's topics, stamped with the images' own time; same input, same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .. import wire
from .bag_file import BagFile, BagTopic, Storage
from .foxglove import SCENE_TYPE, scene_update

if TYPE_CHECKING:
    # Importing the rollout would import torch, which reading and writing files does without.
    from ..rollout.window import WindowResult

_TOPICS = {
    "mesh": "attnchain_ros/msg/AnimatedMesh",
    "tracks_window": "attnchain_ros/msg/Tracks",
    "tracks": "sensor_msgs/msg/PointCloud2",
    "camera_pose": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "object_pose": "geometry_msgs/msg/PoseWithCovarianceStamped",
}

_FIXED = {"object_pose_fixed": _TOPICS["object_pose"], "tracks_fixed": _TOPICS["tracks"]}


class ResultBagWriter(BagFile):
    """Writes windows into a new bag; use it as a context manager. The folder appears whole when the block ends.

    Topics below ``namespace``: mesh and tracks_window (one message a window, at its last image's stamp), tracks,
    camera_pose and object_pose (one a frame), and /tf with camera frame -> object frame. All lengths are scaled by
    ``result.scale``. Frames before the first good camera pose have no pose; frames without a good one of their own have
    no TF; a shared first frame is not written twice. With ``scene``, each frame's mesh as Foxglove shows it.
    """

    def __init__(
        self,
        path: Path,
        *,
        object_id: int = 1,
        object_frame: str = "object_1",
        fixed_frame: str = "",
        namespace: str = "/attnchain",
        storage: Storage = "mcap",
        scene: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Say where and under which names.

        Args:
            path: folder to make.
            object_id, object_frame: number and TF frame of the object.
            fixed_frame: that stands still; object_pose_fixed and tracks_fixed are written in it, "" = they are not.
            namespace: in front of the topics.
            storage: format of the bag.
            scene: write the topic ``scene`` as well (``files.foxglove``; MCAP only, which is what Foxglove opens).
            overwrite: replace an existing folder.
        Raises:
            ConfigError: another storage.
        """
        topics = {name: BagTopic(f"{namespace.rstrip('/')}/{name}", kind) for name, kind in _TOPICS.items()}
        topics["tf"] = BagTopic("/tf", "tf2_msgs/msg/TFMessage")
        self._fixed_frame = fixed_frame
        if fixed_frame:
            topics |= {name: BagTopic(f"{namespace.rstrip('/')}/{name}", kind) for name, kind in _FIXED.items()}
        self._scene = scene and storage == "mcap"
        if self._scene:
            topics["scene"] = BagTopic(f"{namespace.rstrip('/')}/scene", SCENE_TYPE)
        super().__init__(path, topics, storage=storage, overwrite=overwrite)
        self._object_id = object_id
        self._object_frame = object_frame
        self._pose_seen = False

    def add(
        self,
        result: WindowResult,
        camera_frame: str,
        distort_points: Callable[[np.ndarray], np.ndarray] = lambda points: points,
    ) -> None:
        """Write one window.

        Args:
            result: of the rollout.
            camera_frame: optical frame of its images.
            distort_points: takes pixels of the undistorted image to those of the image as recorded.
        """
        if result.index == 0:
            self._pose_seen = False
        names = wire.Names(camera_frame or "camera_optical_frame", self._object_frame, self._object_id)
        for frame in range(int(result.shared_first), result.frames):
            stamp = int(result.stamps_ns[frame])
            self.write("tracks", stamp, wire.cloud(result, frame, names))
            if self._scene:
                self.write("scene", stamp, scene_update(result, frame, names))
            self._pose_seen = self._pose_seen or bool(result.camera.valid[frame])
            # Before the first good pose there is nothing to repeat, and an identity would be a lie.
            if self._pose_seen:
                self.write("camera_pose", stamp, wire.camera_pose(result, frame, names))
                self.write("object_pose", stamp, wire.object_pose(result, frame, names))
            for topic, fields in self._fixed(result, frame, names):
                self.write(topic, stamp, fields)
            if result.camera.valid[frame]:
                self.write("tf", stamp, {"transforms": [wire.transform(result, frame, names)]})
        last = int(result.stamps_ns[-1])
        self.write("mesh", last, wire.mesh(result, names))
        self.write("tracks_window", last, wire.tracks(result, distort_points(result.tracks.points_px), names))

    def _fixed(self, result: WindowResult, frame: int, names: wire.Names) -> Iterator[tuple[str, wire.Fields]]:
        """Topics and messages of one image in the frame that stands still; none where its place there is not known."""
        pose = wire.fixed_pose(result, frame, self._fixed_frame) if self._fixed_frame else None
        cloud = wire.fixed_cloud(result, frame, names, self._fixed_frame) if pose is not None else None
        if pose is not None and cloud is not None:
            yield "object_pose_fixed", pose
            yield "tracks_fixed", cloud
