"""What the node publishes, into footage; messages of rclpy and of bags have the same fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..camera.intrinsics import camera_info_matrix
from ..camera.poses import pose_from_quaternion
from ..errors import InputError
from ..stream.camera import camera_numbers
from ..stream.decode import decode_message
from ..wire import KEPT_POSE_VARIANCE
from .footage import Eye, Footage, Points, Surface, track_colors

MESH = "attnchain_ros/msg/AnimatedMesh"
TRACKS = "attnchain_ros/msg/Tracks"
POSE = "geometry_msgs/msg/PoseWithCovarianceStamped"
INFO = "sensor_msgs/msg/CameraInfo"
IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


def stamp_ns(time: Any) -> int:
    """A ``builtin_interfaces/Time`` as nanoseconds."""
    return int(time.sec) * 10**9 + int(time.nanosec)


class MessageTaker:
    """Puts messages of one object into footage.

    Args:
        footage: to fill.
        object_id: of the object; None = that of the first mesh.
    """

    def __init__(self, footage: Footage, object_id: int | None = None) -> None:
        self.footage = footage
        self._object_id = object_id
        self._object_frame: str | None = None
        self._early: list[Any] = []
        self._takers: dict[str, Callable[[Any], None]] = {
            MESH: self.take_mesh, TRACKS: self.take_tracks, POSE: self.take_pose, INFO: self.take_info,
            **{kind: self.take_image for kind in IMAGES},
        }  # fmt: skip

    def take(self, kind: str, message: Any) -> None:
        """One message of one of the types of this module; what cannot be read is left out and told in the notes."""
        try:
            self._takers[kind](message)
        except (InputError, ValueError) as error:
            self.footage.notes.tell("message_refused", f"a {kind} was left out: {error}")

    def take_mesh(self, message: Any) -> None:
        """``AnimatedMesh``: a window.

        Raises:
            InputError: its arrays do not have the sizes that it announces.
        """
        if self._other(int(message.object_id)):
            return
        frames, count = int(message.frame_count), int(message.vertex_count)
        vertices = np.array(message.vertices, np.float32)
        faces = np.array(message.triangles, np.int32)
        if vertices.size != frames * count * 3 or len(message.stamps) != frames or faces.size % 3 or not frames:
            raise InputError(
                f"it announces {frames} frames of {count} vertices and holds {vertices.size} numbers for "
                f"{len(message.stamps)} stamps and {faces.size} corners"
            )
        if faces.size and int(faces.max()) >= count:
            raise InputError(f"its triangles name vertex {int(faces.max())}, there are {count}")
        colors = np.array(message.vertex_colors, np.uint8)
        confidence = np.array(message.confidence, np.float32)
        if confidence.size != frames:
            confidence = np.full(frames, np.nan, np.float32)
        surface = Surface(
            int(message.topology_id), faces.reshape(-1, 3), colors.reshape(-1, 3) if colors.size == count * 3 else None
        )
        stamps = np.array([stamp_ns(stamp) for stamp in message.stamps], np.int64)
        self.footage.add_window(stamps, surface, vertices.reshape(frames, count, 3), confidence)
        if self._object_frame is None:
            self._object_frame = message.header.frame_id
            for pose in self._early:
                self.take_pose(pose)
            self._early = []

    def take_tracks(self, message: Any) -> None:
        """``Tracks``: those of a window.

        Raises:
            InputError: its arrays do not have the sizes that it announces.
        """
        if self._other(int(message.object_id)):
            return
        frames, count = int(message.frame_count), int(message.track_count)
        positions = np.array(message.points_object, np.float32)
        if not positions.size:
            return
        shape = (frames, count)
        visible, confidence = np.array(message.visible, np.uint8), np.array(message.confidence, np.float32)
        if positions.size != 3 * frames * count or not visible.size == confidence.size == frames * count:
            raise InputError(f"it announces {frames} frames of {count} tracks and holds {positions.size} numbers")
        seen = visible.reshape(shape) == 1
        colors = track_colors(np.array(message.ids, np.int64))
        for frame, stamp in enumerate(message.stamps):
            self.footage.add_points(
                stamp_ns(stamp),
                Points(
                    positions.reshape(frames, count, 3)[frame], colors, seen[frame], confidence.reshape(shape)[frame]
                ),
            )

    def take_pose(self, message: Any) -> None:
        """``PoseWithCovarianceStamped``: the camera, where it is given in the object's frame; others are left out."""
        if self._object_frame is None:
            # A bag may hold the poses of a window before its mesh, which says what the object's frame is called.
            self._early = [*self._early[-999:], message]
            return
        if message.header.frame_id != self._object_frame:
            return
        pose = message.pose.pose
        at, turn = pose.position, pose.orientation
        where = pose_from_quaternion(np.array([at.x, at.y, at.z]), np.array([turn.x, turn.y, turn.z, turn.w]))
        trusted = float(message.pose.covariance[0]) < KEPT_POSE_VARIANCE
        self.footage.add_eye(stamp_ns(message.header.stamp), Eye(where, trusted))

    def take_info(self, message: Any) -> None:
        """``CameraInfo``: K of the images; one of zeros says nothing.

        Raises:
            InputError: it cannot be that of a camera.
        """
        numbers = camera_numbers(message)
        matrix = camera_info_matrix(np.array(numbers.k), None, numbers.roi[:2], numbers.binning)
        if matrix is not None:
            self.footage.set_intrinsics(matrix)

    def take_image(self, message: Any) -> None:
        """``Image`` or ``CompressedImage``.

        Raises:
            InputError: it cannot be decoded.
        """
        picture = decode_message(message).rgb
        if picture is not None:
            self.footage.add_image(stamp_ns(message.header.stamp), picture)

    def _other(self, object_id: int) -> bool:
        """Whether a message is about another object than the one that is shown."""
        if self._object_id is None:
            self._object_id = object_id
        if object_id == self._object_id:
            return False
        text = f"object {object_id} is there as well, shown is {self._object_id}: --object-id chooses"
        self.footage.notes.tell("other_object", text)
        return True
