"""Results as a rosbag2 folder: the node's topics, stamped with the images' own time; same input, same bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from scipy.spatial.transform import Rotation

from ..errors import ConfigError
from .atomic import folder_then_rename
from .bag_types import bag_types
from .published import CLOUD_DTYPE, CLOUD_FIELDS, cloud_rows, invert_pose, is_dense, pose_covariance, scaled_pose

if TYPE_CHECKING:
    # Importing the rollout would import torch, which reading and writing files does without.
    from ..rollout.window import WindowResult

_TOPICS = {
    "mesh": "attnchain_ros/msg/AnimatedMesh",
    "tracks_window": "attnchain_ros/msg/Tracks",
    "tracks": "sensor_msgs/msg/PointCloud2",
    "camera_pose": "geometry_msgs/msg/PoseWithCovarianceStamped",
}


class ResultBagWriter:
    """Writes windows into a new bag; use it as a context manager. The folder appears whole when the block ends.

    Topics below ``namespace``: mesh and tracks_window (one message a window, at its last image's stamp), tracks and
    camera_pose (one a frame), and /tf with camera frame -> object frame. All lengths are scaled by ``result.scale``.
    Frames before the first good camera pose have no pose and no TF; a shared first frame is not written twice.
    """

    def __init__(
        self,
        path: Path,
        *,
        camera_frame: str,
        object_id: int = 1,
        object_frame: str = "object_1",
        namespace: str = "/attnchain",
        storage: Literal["mcap", "sqlite3"] = "mcap",
        overwrite: bool = False,
        distort_points: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Say where and under which names.

        Args:
            path: folder to make.
            camera_frame: optical frame of the images.
            object_id, object_frame: number and TF frame of the object.
            namespace: in front of the topics.
            storage: format of the bag.
            overwrite: replace an existing folder.
            distort_points: takes pixels of the undistorted image to those of the image as recorded.
        Raises:
            ConfigError: another storage.
        """
        if storage not in ("mcap", "sqlite3"):
            raise ConfigError(f"bag storage is {storage!r}, wanted mcap or sqlite3")
        self._path = Path(path)
        self._storage = storage
        self._overwrite = overwrite
        self._camera_frame = camera_frame or "camera_optical_frame"
        self._object_id = object_id
        self._object_frame = object_frame
        self._namespace = namespace.rstrip("/")
        self._distort = distort_points
        self._stack = ExitStack()
        self._types = bag_types()
        self._pose_seen = False

    def __enter__(self) -> ResultBagWriter:
        """Open the bag in a temporary place."""
        with ExitStack() as stack:
            place = stack.enter_context(folder_then_rename(self._path, overwrite=self._overwrite))
            plugin = StoragePlugin.MCAP if self._storage == "mcap" else StoragePlugin.SQLITE3
            self._writer = stack.enter_context(Writer(place, version=9, storage_plugin=plugin))
            self._topics = {name: self._connect(f"{self._namespace}/{name}", kind) for name, kind in _TOPICS.items()}
            self._topics["tf"] = self._connect("/tf", "tf2_msgs/msg/TFMessage")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the bag and give it its name, or remove it after an error."""
        self._stack.__exit__(kind, error, trace)

    def start_chain(self, camera_frame: str, distort_points: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
        """The windows that follow are of another camera; arguments as for the writer itself."""
        self._camera_frame = camera_frame or "camera_optical_frame"
        self._distort = distort_points

    def add(self, result: WindowResult) -> None:
        """Write one window."""
        if result.index == 0:
            self._pose_seen = False
        for frame in range(int(result.shared_first), result.frames):
            stamp = int(result.stamps_ns[frame])
            self._write("tracks", stamp, self._cloud(result, frame))
            self._pose_seen = self._pose_seen or bool(result.camera.valid[frame])
            # Before the first good pose there is nothing to repeat, and an identity would be a lie.
            if self._pose_seen:
                self._write("camera_pose", stamp, self._camera_pose(result, frame))
                self._write("tf", stamp, self._transform(result, frame))
        last = int(result.stamps_ns[-1])
        self._write("mesh", last, self._mesh(result))
        self._write("tracks_window", last, self._tracks(result))

    def _connect(self, topic: str, kind: str) -> Connection:
        return self._writer.add_connection(topic, kind, typestore=self._types)

    def _write(self, topic: str, stamp_ns: int, message: Any) -> None:
        data = self._types.serialize_cdr(message, self._topics[topic].msgtype)
        self._writer.write(self._topics[topic], stamp_ns, bytes(data))

    def _make(self, kind: str, **fields: Any) -> Any:
        return self._types.types[kind](**fields)

    def _time(self, stamp_ns: int) -> Any:
        return self._make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        return self._make("std_msgs/msg/Header", stamp=self._time(stamp_ns), frame_id=frame_id)

    def _mesh(self, result: WindowResult) -> Any:
        return self._make(
            _TOPICS["mesh"],
            header=self._header(int(result.stamps_ns[0]), self._object_frame),
            object_id=self._object_id,
            window_index=result.index,
            topology_id=result.topology_id,
            anchor_index=0,
            frame_count=result.frames,
            vertex_count=result.vertices.shape[1],
            stamps=[self._time(int(stamp)) for stamp in result.stamps_ns],
            triangles=result.faces.astype(np.uint32).ravel(),
            vertices=(result.vertices * np.float32(result.scale)).astype(np.float32).ravel(),
            vertex_colors=result.vertex_colors.ravel(),
            confidence=result.confidence.astype(np.float32).ravel(),
            scale=float(result.scale),
            metric=bool(result.metric),
        )

    def _tracks(self, result: WindowResult) -> Any:
        tracks, scale = result.tracks, np.float32(result.scale)
        points_px = tracks.points_px if self._distort is None else self._distort(tracks.points_px)
        has_object = bool(np.isfinite(tracks.points_object).any())
        return self._make(
            _TOPICS["tracks_window"],
            header=self._header(int(result.stamps_ns[0]), self._camera_frame),
            object_id=self._object_id,
            object_frame_id=self._object_frame,
            window_index=result.index,
            frame_count=result.frames,
            track_count=len(tracks.ids),
            stamps=[self._time(int(stamp)) for stamp in result.stamps_ns],
            ids=tracks.ids.astype(np.int64),
            points_px=points_px.astype(np.float32).ravel(),
            points_camera=(tracks.points_camera * scale).astype(np.float32).ravel(),
            points_object=(tracks.points_object * scale).astype(np.float32).ravel()
            if has_object
            else np.zeros(0, np.float32),
            visible=tracks.visible.astype(np.uint8).ravel(),
            confidence=tracks.confidence.astype(np.float32).ravel(),
            scale=float(result.scale),
            metric=bool(result.metric),
        )

    def _cloud(self, result: WindowResult, frame: int) -> Any:
        rows = cloud_rows(result, frame)
        fields = [
            self._make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=datatype, count=1)
            for name, offset, datatype in CLOUD_FIELDS
        ]
        return self._make(
            _TOPICS["tracks"],
            header=self._header(int(result.stamps_ns[frame]), self._camera_frame),
            height=1,
            width=len(rows),
            fields=fields,
            is_bigendian=False,
            point_step=CLOUD_DTYPE.itemsize,
            row_step=CLOUD_DTYPE.itemsize * len(rows),
            data=np.frombuffer(rows.tobytes(), np.uint8),
            is_dense=is_dense(rows),
        )

    def _camera_pose(self, result: WindowResult, frame: int) -> Any:
        """The camera in the object's frame."""
        inverse = invert_pose(scaled_pose(result, frame))
        x, y, z = inverse[:3, 3]
        placed = self._make(
            "geometry_msgs/msg/Pose",
            position=self._make("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=self._quaternion(inverse),
        )
        covariance = pose_covariance(result, frame)
        return self._make(
            _TOPICS["camera_pose"],
            header=self._header(int(result.stamps_ns[frame]), self._object_frame),
            pose=self._make("geometry_msgs/msg/PoseWithCovariance", pose=placed, covariance=covariance),
        )

    def _transform(self, result: WindowResult, frame: int) -> Any:
        pose = scaled_pose(result, frame)
        x, y, z = pose[:3, 3]
        transform = self._make(
            "geometry_msgs/msg/TransformStamped",
            header=self._header(int(result.stamps_ns[frame]), self._camera_frame),
            child_frame_id=self._object_frame,
            transform=self._make(
                "geometry_msgs/msg/Transform",
                translation=self._make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
                rotation=self._quaternion(pose),
            ),
        )
        return self._make("tf2_msgs/msg/TFMessage", transforms=[transform])

    def _quaternion(self, pose: np.ndarray) -> Any:
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat(canonical=True)
        return self._make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
