"""The Fast DDS profile with room for large images: where it lies, and the environment that uses it. ROS-free."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PROFILE = Path("config") / "fastdds.xml"
VARIABLE, OLD_VARIABLE = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
"""Fast DDS's own names; the old one is that of Fast DDS 2, in ROS 2 up to Jazzy."""
_OLD_DISTRIBUTIONS = ("foxy", "galactic", "humble", "iron", "jazzy")


def find_profile() -> Path | None:
    """The profile of this package, in the sources or where it is installed; None where it is not."""
    here = Path(__file__).resolve()
    share = Path("share") / "attnchain_ros"
    places = [here.parents[2], Path(sys.prefix) / share, *(parent / share for parent in here.parents)]
    return next((place / PROFILE for place in places if (place / PROFILE).is_file()), None)


def profile_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What to add to the environment of processes that send or receive images.

    Nothing where the user has set a profile or chosen transports, where another middleware is used, or where the
    profile is not found.

    Args:
        environment: that they would get; None = this process's.
    """
    given = os.environ if environment is None else environment
    profile = find_profile()
    if profile is None or any(name in given for name in (VARIABLE, OLD_VARIABLE, "FASTDDS_BUILTIN_TRANSPORTS")):
        return {}
    if "fastrtps" not in given.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return {}
    names = [VARIABLE] + ([OLD_VARIABLE] if given.get("ROS_DISTRO") in _OLD_DISTRIBUTIONS else [])
    return dict.fromkeys(names, str(profile))
