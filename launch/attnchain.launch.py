"""Start attnchain_node: ``ros2 launch attnchain_ros attnchain.launch.py image:=/camera/image_raw mask:=/my/mask``.

Defaults of the parameters are read from config/attnchain.yaml. An argument that is given here wins over
``params_file``.
"""

from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

from attnchain_ros.node.profiles import profile_environment
from launch import LaunchContext, LaunchDescription

# Parameters that are arguments too: name and help. All others: params_file.
PARAMETERS = {
    "autostart": "configure and activate at start-up; false: wait for lifecycle transitions",
    "weights": "folder with the backbone's weights; empty = the small demonstration model",
    "device": "auto, cpu, cuda or cuda:N",
    "threads": "threads of the computation on the CPU; 0 = one a core",
    "image_transport": "raw, or compressed: reads IMAGE/compressed",
    "mask_transport": "raw, or compressed: reads MASK/compressed",
    "anchor_mesh": "mesh file of the object as in the first frame; empty = made from the image",
    "overflow_policy": "adaptive (live), drop_oldest, or block (bags: lossless)",
    "mask_mode": "every, latest or first",
    "foreground": "none (masks are awaited), sam2 (from a click on ~/prompt), or grabcut (cut out by colours)",
    "max_objects": "objects at once: by the ids in masks, or with sam2 each by a click",
    "output_dir": "folder below which save_mesh writes",
}
# Topics to remap: name and help.
TOPICS = {
    "image": "camera images",
    "camera_info": "calibration of the camera",
    "mask": "mask of the object, mono8 or 16UC1",
    "depth": "depth registered to the image, optional",
}

# Those that may come compressed, on a topic of their own below.
COMPRESSED = ("image", "mask")


def defaults(path: Path) -> dict[str, object]:
    """The top-level parameters of a file made like config/attnchain.yaml."""
    return yaml.safe_load(path.read_text())["/**"]["ros__parameters"]


def as_text(value: object) -> str:
    """A parameter's value as a launch argument."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def start(context: LaunchContext, share: Path) -> list[LifecycleNode]:
    """The node with its parameters; an argument left at its default does not override params_file."""
    standard = defaults(share / "config" / "attnchain.yaml")
    given = {}
    for name in PARAMETERS:
        text = LaunchConfiguration(name).perform(context)
        if text != as_text(standard[name]):
            given[name] = text if isinstance(standard[name], str) else yaml.safe_load(text)
    given["use_sim_time"] = LaunchConfiguration("use_sim_time").perform(context).lower() == "true"
    return [
        LifecycleNode(
            package="attnchain_ros",
            executable="attnchain_node",
            name="attnchain_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("params_file"), given],
            remappings=[
                *((topic, LaunchConfiguration(topic)) for topic in TOPICS),
                *((f"{topic}/compressed", [LaunchConfiguration(topic), "/compressed"]) for topic in COMPRESSED),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            additional_env=profile_environment(),
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """All arguments, the node, and RViz when asked for."""
    share = Path(get_package_share_directory("attnchain_ros"))
    params = share / "config" / "attnchain.yaml"
    standard = defaults(params)
    arguments = [
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the node and its topics"),
        DeclareLaunchArgument("params_file", default_value=str(params), description="YAML file with parameters"),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="take the time from /clock (bags)"),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error"),
        DeclareLaunchArgument("rviz", default_value="false", description="start RViz too"),
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value=as_text(standard[name]), description=text)
        for name, text in PARAMETERS.items()
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value=name, description=f"topic: {text}") for name, text in TOPICS.items()
    ]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=LaunchConfiguration("namespace"),
        arguments=["-d", str(share / "config" / "attnchain.rviz")],
        condition=IfCondition(LaunchConfiguration("rviz")),
    )
    return LaunchDescription([*arguments, OpaqueFunction(function=start, args=[share]), rviz])
