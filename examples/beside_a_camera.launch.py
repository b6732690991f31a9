"""A USB camera and the node beside it, with the object cut out by its colours.

ros2 launch examples/beside_a_camera.launch.py

Any driver will do: take another package and executable, and remap its topics. With a segmenter of your own leave
``foreground`` out and publish its masks on ``mask``.
"""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """The driver's topics are those of v4l2_camera: image_raw and camera_info below its namespace."""
    camera = Node(
        package="v4l2_camera",
        executable="v4l2_camera_node",
        namespace="camera",
        parameters=[{"video_device": LaunchConfiguration("device"), "image_size": [640, 480]}],
    )
    ours = PathJoinSubstitution([FindPackageShare("attnchain_ros"), "launch", "attnchain.launch.py"])
    node = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(ours),
        launch_arguments={
            "image": "/camera/image_raw",
            "camera_info": "/camera/camera_info",
            "foreground": "grabcut",
        }.items(),
    )
    return LaunchDescription([DeclareLaunchArgument("device", default_value="/dev/video0"), camera, node])
