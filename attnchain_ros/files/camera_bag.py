"""What a robot's camera would have recorded, as a rosbag2 folder: image, mask, camera_info, depth and TF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import wire
from ..errors import InputError
from ..stream.frame import Frame
from .bag_file import BagFile, BagTopic

TOPICS = {
    "image": BagTopic("/image", "sensor_msgs/msg/Image"),
    "mask": BagTopic("/mask", "sensor_msgs/msg/Image"),
    "camera_info": BagTopic("/camera_info", "sensor_msgs/msg/CameraInfo"),
    "depth": BagTopic("/depth", "sensor_msgs/msg/Image"),
    "tf": BagTopic("/tf", "tf2_msgs/msg/TFMessage"),
    "tf_static": BagTopic("/tf_static", "tf2_msgs/msg/TFMessage", latched=True),
}
"""The node's own names, so that nothing has to be remapped."""
MOST_MILLIMETRES = 2**16 - 1


class CameraBagWriter(BagFile):
    """Writes frames into a new MCAP bag with compressed chunks; use it as a context manager.

    The folder appears whole when the block ends. Images are rgb8, masks mono8 (255 = object), depth 16UC1 in
    millimetres (0 = unknown); every message of a frame has its stamp, /tf says where the camera stood.

    Args:
        path: folder to make; it must not exist.
        frame_id: optical frame of the camera.
        fixed_frame: frame that stands still, of the camera's poses.
    """

    def __init__(self, path: Path, frame_id: str = "camera_optical_frame", fixed_frame: str = "odom") -> None:
        super().__init__(path, TOPICS, compressed=True)
        self._frame_id = frame_id
        self._fixed_frame = fixed_frame

    def place(self, child: str, fixed_from_child: np.ndarray, stamp_ns: int) -> None:
        """Say where something stands still: rigid [4, 4] in metres, on /tf_static."""
        fields = wire.frame_transform(fixed_from_child, stamp_ns, self._fixed_frame, child)
        self.write("tf_static", stamp_ns, {"transforms": [fields]})

    def add(
        self, frame: Frame, intrinsics: np.ndarray, fixed_from_camera: np.ndarray, ids: np.ndarray | None = None
    ) -> None:
        """Write one frame; the image last, as a driver that waits for the others would.

        Args:
            frame: picture, mask or none, depth in metres or none, stamp.
            ids: [H, W] uint8 in place of the mask, 0 = no object.
            intrinsics: [3, 3] K in pixels.
            fixed_from_camera: rigid [4, 4] in metres, the optical frame's pose in the fixed one.
        Raises:
            InputError: a depth that 16 bits of millimetres cannot hold.
        """
        stamp, at = frame.stamp_ns, (frame.stamp_ns, self._frame_id)
        height, width = frame.image.shape[:2]
        camera = wire.frame_transform(fixed_from_camera, stamp, self._fixed_frame, self._frame_id)
        self.write("tf", stamp, {"transforms": [camera]})
        self.write("camera_info", stamp, wire.camera_info(intrinsics, (height, width), *at))
        values = ids if ids is not None or frame.mask is None else frame.mask.astype(np.uint8) * np.uint8(255)
        if values is not None:
            self.write("mask", stamp, wire.image(values, "mono8", *at))
        if frame.depth_m is not None:
            self.write("depth", stamp, wire.image(in_millimetres(frame.depth_m), "16UC1", *at))
        self.write("image", stamp, wire.image(frame.image, "rgb8", *at))


def in_millimetres(depth_m: np.ndarray) -> np.ndarray:
    """Depth [H, W] in metres as uint16 millimetres; 0 (unknown) where it is not finite or not above 0.

    Raises:
        InputError: farther than 65.535 m.
    """
    known = np.isfinite(depth_m) & (depth_m > 0)
    found = np.rint(np.where(known, depth_m, 0.0) * 1000.0)
    if found.max(initial=0) > MOST_MILLIMETRES:
        raise InputError(f"depth is up to {found.max() / 1000:.1f} m, 16UC1 holds at most 65.535 m: give it as 32FC1")
    return found.astype(np.uint16)
