"""The launch files with a stand-in for ROS's launch packages, which are not among the wheels: names and order.

The stand-in has the calls that the files make, with the signatures of the real ones, and records what it is given.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer

from attnchain_ros.errors import ConfigError, FileFormatError
from attnchain_ros.files.bag_types import bag_types
from attnchain_ros.files.camera_bag import CameraBagWriter
from attnchain_ros.node.parameters import TABLE, NodeSettings, change
from attnchain_ros.node.profiles import VARIABLE
from attnchain_ros.node.replaying import QOS_FILE, plan_replay
from attnchain_ros.stream.frame import Frame

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Context:
    values: dict[str, str]


@dataclass
class LaunchConfiguration:
    name: str

    def perform(self, context: Context) -> str:
        return context.values[self.name]


@dataclass
class IfCondition:
    predicate: LaunchConfiguration


@dataclass
class DeclareLaunchArgument:
    name: str
    default_value: str | None = None
    description: str | None = None
    choices: list[str] | None = None


@dataclass
class OpaqueFunction:
    function: Callable[..., list[Any]]
    args: list[Any] = field(default_factory=list)


@dataclass
class ExecuteProcess:
    cmd: list[str]
    output: str = "log"
    additional_env: Any = None


@dataclass
class Node:
    executable: Any
    package: Any
    name: Any = None
    namespace: Any = None
    parameters: Any = None
    remappings: Any = None
    arguments: Any = None
    output: str = "log"
    condition: Any = None
    additional_env: Any = None


@dataclass
class LifecycleNode(Node):
    def __post_init__(self) -> None:
        assert self.name is not None and self.namespace is not None, "the real one needs both"


@dataclass
class LaunchDescription:
    entities: list[Any]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], types.ModuleType]:
    """Loads a launch file with the stand-ins in place of ROS's packages."""

    def module(name: str, **members: Any) -> None:
        made = types.ModuleType(name)
        made.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, made)

    module(
        "launch",
        LaunchContext=Context,
        LaunchDescription=LaunchDescription,
        LaunchDescriptionEntity=object,
        __path__=[],
    )
    module(
        "launch.actions", DeclareLaunchArgument=DeclareLaunchArgument, OpaqueFunction=OpaqueFunction,
        ExecuteProcess=ExecuteProcess,
    )  # fmt: skip
    module("launch.conditions", IfCondition=IfCondition)
    module("launch.substitutions", LaunchConfiguration=LaunchConfiguration)
    module("launch_ros", __path__=[])
    module("launch_ros.actions", LifecycleNode=LifecycleNode, Node=Node)
    module("ament_index_python", __path__=[])
    module("ament_index_python.packages", get_package_share_directory=lambda name: str(ROOT))

    def begin(name: str) -> types.ModuleType:
        spec = importlib.util.spec_from_file_location(name.replace(".", "_"), ROOT / "launch" / name)
        assert spec is not None and spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    return begin


def started(description: LaunchDescription, **given: str) -> list[Any]:
    """What is started, in order, with these arguments on the command line."""
    values: dict[str, str] = {}
    found: list[Any] = []
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            assert entity.description and entity.name not in values
            value = given.get(entity.name, entity.default_value)
            assert isinstance(value, str), f"{entity.name} has to be given as text"
            values[entity.name] = value
        elif isinstance(entity, OpaqueFunction):
            assert set(given) <= set(values)
            found += entity.function(Context(values), *entity.args)
        else:
            found.append(entity)
    return found


def text(value: Any, values: dict[str, str]) -> str:
    """A substitution, or a list of them, as text."""
    if isinstance(value, list):
        return "".join(text(item, values) for item in value)
    return values[value.name] if isinstance(value, LaunchConfiguration) else value


def test_the_live_launch_passes_on_only_what_was_given(load: Callable[[str], types.ModuleType]) -> None:
    module = load("attnchain.launch.py")
    node, rviz = started(module.generate_launch_description())
    assert Path(node.additional_env[VARIABLE]) == ROOT / "config" / "fastdds.xml"
    assert node.parameters[1] == {"use_sim_time": False}, "defaults must not override params_file"
    assert rviz.condition.predicate.name == "rviz"
    node, _ = started(
        module.generate_launch_description(), autostart="false", overflow_policy="block", image="/cam/image_raw",
        foreground="grabcut", use_sim_time="true",
    )  # fmt: skip
    given = node.parameters[1]
    assert given == {
        "autostart": False, "overflow_policy": "block", "foreground": "grabcut", "use_sim_time": True
    }  # fmt: skip
    change(NodeSettings(), {name: value for name, value in given.items() if name in TABLE})
    values = {name: name for name in module.TOPICS} | {"image": "/cam/image_raw"}
    assert {name: text(value, values) for name, value in node.remappings} == {
        "image": "/cam/image_raw", "camera_info": "camera_info", "mask": "mask", "depth": "depth",
        "image/compressed": "/cam/image_raw/compressed", "mask/compressed": "mask/compressed",
    }  # fmt: skip


def record(path: Path, topics: dict[str, str]) -> Path:
    """A bag with one message on each topic."""
    store = bag_types()
    kinds = store.types
    time = kinds["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
    header = kinds["std_msgs/msg/Header"](stamp=time, frame_id="cam")
    data = np.zeros(12, np.uint8)
    messages = {
        "sensor_msgs/msg/Image": kinds["sensor_msgs/msg/Image"](
            header=header, height=2, width=2, encoding="rgb8", is_bigendian=0, step=6, data=data
        ),
        "sensor_msgs/msg/CompressedImage": kinds["sensor_msgs/msg/CompressedImage"](
            header=header, format="png", data=data
        ),
        "std_msgs/msg/String": kinds["std_msgs/msg/String"](data="hello"),
    }
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        for topic, kind in topics.items():
            connection = writer.add_connection(topic, kind, typestore=store)
            writer.write(connection, 10**9, bytes(store.serialize_cdr(messages[kind], kind)))
    return path


def test_replay_starts_paused_and_resumes_when_the_node_is_active(
    load: Callable[[str], types.ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", lambda call, **words: at_exit.append(functools.partial(call, **words)))
    bag = record(
        tmp_path / "bag",
        {
            "/cam/image/compressed": "sensor_msgs/msg/CompressedImage",
            "/seg/mask": "sensor_msgs/msg/Image",
            "/chatter": "std_msgs/msg/String",
        },
    )
    module = load("replay.launch.py")
    node, player, resume = started(module.generate_launch_description(), bag=str(bag), namespace="robot", rate="0.5")
    assert isinstance(node, LifecycleNode) and node.namespace == "robot"
    assert node.additional_env == player.additional_env and VARIABLE in player.additional_env, "the player sends"
    assert node.parameters[0] == str(ROOT / "config" / "lossless.yaml")
    given = node.parameters[1]
    assert given == {
        "use_sim_time": True, "overflow_policy": "block", "image_transport": "compressed", "mask_transport": "raw"
    }  # fmt: skip
    change(NodeSettings(), {name: value for name, value in given.items() if name in TABLE})
    assert node.remappings == [("image/compressed", "/cam/image/compressed"), ("mask", "/seg/mask")]
    assert player.cmd[:5] == ["ros2", "bag", "play", str(bag), "--clock"]
    assert "--start-paused" in player.cmd and player.cmd[player.cmd.index("--rate") + 1] == "0.5"
    assert "--loop" not in player.cmd
    file = Path(player.cmd[player.cmd.index("--qos-profile-overrides-path") + 1])
    profiles = yaml.safe_load(file.read_text())
    assert set(profiles) == {"/cam/image/compressed", "/seg/mask", "/tf", "/tf_static"}
    assert all(profile["reliability"] == "reliable" for profile in profiles.values())
    kept = [topic for topic, profile in profiles.items() if profile["durability"] == "transient_local"]
    assert kept == ["/tf_static"]
    assert resume.cmd[:5] == [
        sys.executable,
        "-m",
        "attnchain_ros.node.resume_player",
        "--node",
        "/robot/attnchain_node",
    ]
    for unlink in at_exit:
        unlink()
    assert not file.exists(), "nothing is left in the system's temporary folder"
    assert resume.cmd[5:13:2] == ["--topic"] * 4
    assert resume.cmd[6:13:2] == ["/cam/image/compressed", "/seg/mask", "/tf", "/tf_static"]
    node, player, _ = started(
        module.generate_launch_description(),
        bag=str(bag),
        loop="true",
        foreground="grabcut",
        overflow_policy="adaptive",
    )
    assert "--loop" in player.cmd
    assert node.parameters[1]["foreground"] == "grabcut" and node.parameters[1]["overflow_policy"] == "adaptive"
    at_exit[-1]()


def test_a_replay_in_a_fixed_frame(load: Callable[[str], types.ModuleType], tmp_path: Path) -> None:
    image, mask = np.zeros((12, 16, 3), np.uint8), np.ones((12, 16), bool)
    with CameraBagWriter(tmp_path / "bag", "eye", "odom") as writer:
        writer.add(Frame(image, mask, 10**9), np.eye(3), np.eye(4))
    module = load("replay.launch.py")
    node, player, _ = started(module.generate_launch_description(), bag=str(tmp_path / "bag"), fixed_frame="odom")
    given = node.parameters[1]
    assert given["fixed_frame"] == "odom"
    change(NodeSettings(), {name: value for name, value in given.items() if name in TABLE})
    assert "--topics" not in player.cmd, "everything is played, TF too"
    assert "fixed_frame" not in plan_replay(str(tmp_path / "bag")).parameters, "that of params_file counts"
    with pytest.raises(FileFormatError, match="no TF frame 'map' to be the fixed one; it has eye, odom"):
        plan_replay(str(tmp_path / "bag"), fixed_frame="map")


def test_a_replay_that_cannot_work_is_refused_with_what_the_bag_holds(tmp_path: Path) -> None:
    bag = record(tmp_path / "bag", {"/chatter": "std_msgs/msg/String"})
    with pytest.raises(FileFormatError, match=r"no image topic; it holds /chatter \(std_msgs/msg/String\)"):
        plan_replay(str(bag))
    with pytest.raises(ConfigError, match="no bag was given: bag:=FOLDER"):
        plan_replay("")
    for rate in ("0", "-1", "fast", "inf", "nan"):
        with pytest.raises(ConfigError, match=f"rate is '{rate}', wanted a number above 0"):
            plan_replay(str(bag), rate=rate)
    with pytest.raises(FileFormatError, match="cannot be read"):
        plan_replay(str(tmp_path / "none"))
    assert QOS_FILE not in str(tmp_path)
