"""What a bag's /tf and /tf_static tell, all of it, for clips that are run offline."""

from __future__ import annotations

import math
from pathlib import Path

from ..camera.frames import FrameBuffer, plain, rigid_pose
from ..errors import ConfigError, FileFormatError
from .bags import bag_messages
from .images import is_bag

_TYPE = "tf2_msgs/msg/TFMessage"


def check_has_frames(path: Path) -> None:
    """Refuse a clip that tells nothing of frames.

    Raises:
        ConfigError: it is no bag.
    """
    if not is_bag(path):
        raise ConfigError(f"a fixed frame is for bags, which hold TF; {path} is none: leave it out")


def read_frames(path: Path, fixed_frame: str) -> FrameBuffer:
    """All transforms of a bag.

    Args:
        path: rosbag2 folder or file.   fixed_frame: which must be among its frames.
    Raises:
        ConfigError: it is no bag.
        FileFormatError: the bag cannot be read, holds no transforms, or does not know the frame.
    """
    check_has_frames(path)
    buffer = FrameBuffer(history_s=math.inf)
    names: set[str] = set()
    for topic, _, message in bag_messages(path, {_TYPE}):
        for one in message.transforms:
            place, turn, stamp = one.transform.translation, one.transform.rotation, one.header.stamp
            pose = rigid_pose((place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w))
            stamp_ns = int(stamp.sec) * 10**9 + int(stamp.nanosec)
            static = topic.endswith("tf_static")
            buffer.add(one.header.frame_id, one.child_frame_id, stamp_ns, pose, static=static)
            names |= {plain(one.header.frame_id), plain(one.child_frame_id)}
    if plain(fixed_frame) not in names:
        listed = ", ".join(sorted(names)[:12]) or "none: it holds no /tf"
        raise FileFormatError(f"bag {path} has no TF frame {fixed_frame!r} to be the fixed one; it has {listed}")
    return buffer
