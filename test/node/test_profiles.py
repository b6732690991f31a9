"""The Fast DDS profile is found, well formed, and never forced upon anybody."""

from __future__ import annotations

import xml.etree.ElementTree
from pathlib import Path

import pytest

from attnchain_ros.node import profiles
from attnchain_ros.node.profiles import OLD_VARIABLE, VARIABLE, find_profile, profile_environment

ROOT = Path(__file__).parents[2]


def test_the_profile_gives_every_participant_room_for_images() -> None:
    path = find_profile()
    assert path is not None and path == ROOT / "config" / "fastdds.xml"
    tree = xml.etree.ElementTree.parse(path).getroot()
    texts = {element.tag.rpartition("}")[2]: element.text for element in tree.iter()}
    assert int(texts["segment_size"] or 0) > 4 * 1280 * 720 * 3 and texts["useBuiltinTransports"] == "false"
    kinds = [element.text for element in tree.iter() if element.tag.endswith("}type")]
    assert kinds == ["SHM", "UDPv4"], "other machines are still heard"
    (participant,) = (element for element in tree.iter() if element.tag.endswith("}participant"))
    assert participant.get("is_default_profile") == "true"


def test_it_is_used_where_nothing_else_is_set() -> None:
    assert set(profile_environment({})) == {VARIABLE}
    assert set(profile_environment({"ROS_DISTRO": "jazzy"})) == {VARIABLE, OLD_VARIABLE}
    assert set(profile_environment({"ROS_DISTRO": "kilted", "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"})) == {VARIABLE}


@pytest.mark.parametrize(
    "given",
    [
        {VARIABLE: "mine.xml"},
        {OLD_VARIABLE: "mine.xml"},
        {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
    ],
)
def test_what_the_user_chose_stays(given: dict[str, str]) -> None:
    assert profile_environment(given) == {}


def test_without_the_file_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "find_profile", lambda: None)
    assert profile_environment({}) == {}
