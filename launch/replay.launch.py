"""Play a bag to attnchain_node without losing a frame: ``ros2 launch attnchain_ros replay.launch.py bag:=FOLDER``.

The player starts paused and goes on when the node is active and listens; the node takes its time from the bag. Topics
are found in the bag by type and name; masks must be in it, or give ``foreground:=grabcut`` (or ``sam2``, and click).
For results as files, and the same bytes every time, use ``attnchain replay`` instead.
"""

import atexit
import sys
import tempfile
from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from attnchain_ros.node.profiles import profile_environment
from attnchain_ros.node.replaying import QOS_FILE, plan_replay
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

TOPICS = {
    "image": "topic of the images in the bag",
    "mask": "topic of the masks",
    "depth": "topic of the depth images",
    "camera_info": "topic of the calibration",
}


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The node, the paused player, and what lets the player go on."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    plan = plan_replay(
        value("bag"),
        **{name: value(name) for name in TOPICS},
        overflow_policy=value("overflow_policy"),
        fixed_frame=value("fixed_frame"),
        rate=value("rate"),
        loop=value("loop").lower() == "true",
    )
    with tempfile.NamedTemporaryFile("w", prefix="attnchain_replay_", suffix=".yaml", delete=False) as file:
        file.write(plan.qos_yaml)
    # The player reads it when it starts; it goes when the launch ends.
    atexit.register(Path(file.name).unlink, missing_ok=True)
    # One that is left empty must not override params_file.
    given: dict[str, str | int] = {name: value(name) for name in ("weights", "foreground") if value(name)}
    if value("max_objects"):
        given["max_objects"] = int(value("max_objects"))
    large = profile_environment()
    namespace = value("namespace").strip("/")
    name = f"/{namespace}/attnchain_node" if namespace else "/attnchain_node"
    topics = [word for topic in plan.topics for word in ("--topic", topic)]
    return [
        LifecycleNode(
            package="attnchain_ros",
            executable="attnchain_node",
            name="attnchain_node",
            namespace=value("namespace"),
            parameters=[value("params_file"), {**plan.parameters, **given}],
            remappings=list(plan.remappings),
            additional_env=large,
            output="screen",
        ),
        ExecuteProcess(
            cmd=[word.replace(QOS_FILE, file.name) for word in plan.play_command], additional_env=large, output="screen"
        ),
        ExecuteProcess(
            cmd=[sys.executable, "-m", "attnchain_ros.node.resume_player", "--node", name, *topics], output="screen"
        ),
    ]


def generate_launch_description() -> LaunchDescription:
    """All arguments, then the three processes."""
    config = Path(get_package_share_directory("attnchain_ros")) / "config"
    params = config / "lossless.yaml"
    lossless = yaml.safe_load(params.read_text())["/**"]["ros__parameters"]
    arguments = [
        DeclareLaunchArgument("bag", description="rosbag2 folder (mcap or sqlite3)"),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the node"),
        DeclareLaunchArgument("params_file", default_value=str(params), description="YAML file with parameters"),
        DeclareLaunchArgument(
            "overflow_policy",
            default_value=lossless["overflow_policy"],
            description="block (every frame), adaptive or drop_oldest",
        ),
        DeclareLaunchArgument("weights", default_value="", description="folder with the weights; empty = params_file"),
        DeclareLaunchArgument(
            "foreground",
            default_value="",
            description="grabcut, or sam2 and a click on ~/prompt, where the bag has no masks; empty = params_file",
        ),
        DeclareLaunchArgument(
            "max_objects",
            default_value="",
            description="objects at once, by ids in masks or clicks; empty = params_file",
        ),
        DeclareLaunchArgument(
            "fixed_frame",
            default_value="",
            description="frame of the bag's TF that stands still, such as odom; empty = params_file",
        ),
        DeclareLaunchArgument("rate", default_value="1.0", description="how much faster than recorded"),
        DeclareLaunchArgument("loop", default_value="false", description="start again at the end"),
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value="", description=f"{text}; empty = found by type and name")
        for name, text in TOPICS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
