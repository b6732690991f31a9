"""What launch/replay.launch.py starts for a bag: topics, parameters and the player's command. ROS-free."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError
from ..files.bag_frames import read_frames
from ..files.bags import find_topics

PLAYER = "rosbag2_player"
"""Name of the node that ``ros2 bag play`` makes."""
TF, TF_STATIC = "/tf", "/tf_static"


@dataclass(frozen=True)
class ReplayPlan:
    """How a bag is played to the node.

    Attributes:
        parameters: of the node.
        remappings: from the node's topics to the bag's.
        topics: that the node reads; the image's first, TF's last.
        play_command: the player, paused at first, with ``QOS_FILE`` where the name of the QoS file belongs.
        qos_yaml: text of that file: all topics reliable and complete, whatever was offered when recorded, and what
            /tf_static holds kept for those who come later.
    """

    parameters: dict[str, Any]
    remappings: tuple[tuple[str, str], ...]
    topics: tuple[str, ...]
    play_command: tuple[str, ...]
    qos_yaml: str


QOS_FILE = "{qos_file}"


def plan_replay(
    bag: str,
    *,
    image: str = "",
    mask: str = "",
    depth: str = "",
    camera_info: str = "",
    overflow_policy: str = "block",
    fixed_frame: str = "",
    rate: str = "1.0",
    loop: bool = False,
) -> ReplayPlan:
    """Look into a bag and plan its replay.

    Args:
        bag: rosbag2 folder.
        image, mask, depth, camera_info: topics of the bag, empty = found by type and name.
        overflow_policy: of the node.
        fixed_frame: of the bag's TF, for the node; empty = the node's own parameter.
        rate: how much faster than recorded.
        loop: start again at the end (the node starts the object anew then).
    Raises:
        ConfigError: no bag, or a rate that is no positive number.
        FileFormatError: the bag cannot be read or has no such topics or frame; those that are there are listed.
    """
    if not bag:
        raise ConfigError("no bag was given: bag:=FOLDER")
    try:
        speed = float(rate)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < float("inf"):
        raise ConfigError(f"rate is {rate!r}, wanted a number above 0")
    path = Path(bag).expanduser().resolve()
    found = find_topics(path, image or None, mask or None, depth or None, camera_info or None)
    remappings: list[tuple[str, str]] = []
    for name, topic in (
        ("image", found.image), ("mask", found.mask), ("depth", found.depth), ("camera_info", found.camera_info)
    ):  # fmt: skip
        if topic is not None:
            remappings.append((f"{name}/compressed" if topic in found.compressed else name, topic))
    topics = (*(topic for _, topic in remappings), TF, TF_STATIC)
    parameters: dict[str, Any] = {
        "use_sim_time": True,
        "overflow_policy": overflow_policy,
        "image_transport": "compressed" if found.image in found.compressed else "raw",
        "mask_transport": "compressed" if found.mask in found.compressed else "raw",
    }
    if fixed_frame:
        read_frames(path, fixed_frame)
        parameters["fixed_frame"] = fixed_frame
    command = ["ros2", "bag", "play", str(path), "--clock", "--start-paused", "--disable-keyboard-controls"]
    command += ["--rate", str(speed), *(["--loop"] if loop else []), "--qos-profile-overrides-path", QOS_FILE]
    offered = {"reliability": "reliable", "durability": "volatile", "history": "keep_all"}
    profiles = {topic: dict(offered) for topic in topics}
    # The player offers static transforms as it thinks best where the recorder did not say how they were offered; the
    # node, like everybody, asks for those that were sent before it came, and is not matched with less.
    profiles[TF_STATIC]["durability"] = "transient_local"
    return ReplayPlan(
        parameters=parameters,
        remappings=tuple(remappings),
        topics=topics,
        play_command=tuple(command),
        qos_yaml=yaml.safe_dump(profiles),
    )
