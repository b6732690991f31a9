"""Message types for bags without ROS: the standard ones of rosbags, and ours from the package's own .msg files."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from ..errors import FileFormatError
from .foxglove import DEFINITIONS, SCENE_TYPE

OWN_MESSAGES = ("AnimatedMesh", "Tracks")
_PACKAGE = "attnchain_ros"


def message_folder() -> Path:
    """The folder with our .msg files: of the source tree, or of an installation.

    Raises:
        FileFormatError: they are in none of the places, which the message lists.
    """
    package = Path(__file__).resolve().parents[1]
    prefixes = [Path(item) for item in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if item]
    # lib/pythonX.Y/site-packages/attnchain_ros of a colcon or pip installation has its share folder four levels up.
    prefixes += [Path(sys.prefix), *package.parents[3:4]]
    places = [package.parent / "msg", package / "interfaces", *(item / "share" / _PACKAGE / "msg" for item in prefixes)]
    for place in places:
        if all((place / f"{name}.msg").is_file() for name in OWN_MESSAGES):
            return place
    listed = ", ".join(str(place) for place in dict.fromkeys(places))
    raise FileFormatError(
        f"the message definitions {', '.join(OWN_MESSAGES)} are in none of {listed}: install the package again"
    )


@lru_cache(maxsize=1)
def bag_types() -> Typestore:
    """ROS 2 Jazzy's standard messages, ours and Foxglove's scenes; shared, not to be added to."""
    store = get_typestore(Stores.ROS2_JAZZY)
    own = {}
    for name in OWN_MESSAGES:
        text = (message_folder() / f"{name}.msg").read_text(encoding="utf-8")
        own.update(get_types_from_msg(text, f"{_PACKAGE}/msg/{name}"))
    folder = SCENE_TYPE.rpartition("/")[0]
    for name, text in DEFINITIONS.items():
        own.update(get_types_from_msg(text, f"{folder}/{name}"))
    store.register(own)
    return store
