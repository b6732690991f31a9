"""The one place that chooses between the distribution's helpers and our stand-ins with the same interface.

Always imported from here: ``CvBridge``, ``CvBridgeError``, ``point_cloud2``, ``TransformBroadcaster`` and
``StaticTransformBroadcaster``. The distribution's ``cv_bridge``, ``sensor_msgs_py`` and ``tf2_ros`` are used where
they are installed and work; ROS 2 from Python wheels has none of them. ``ORIGINS`` tells what was chosen and why.
"""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from . import bridge, clouds, transforms
from .probe import find_fault

_LOG = logging.getLogger(__name__)

# A compiled cv_bridge built for another numpy may raise, return garbage or end the process: hence the round trip, in
# a process of its own. It converts through the compiled part (rgb8) and through plain numpy (16UC1).
_TRY_CV_BRIDGE = """
import numpy, cv_bridge
bridge = cv_bridge.CvBridge()
colour = numpy.arange(18, dtype=numpy.uint8).reshape(2, 3, 3)
message = bridge.cv2_to_imgmsg(colour, "bgr8")
assert (bridge.imgmsg_to_cv2(message, "rgb8") == colour[..., ::-1]).all(), "bgr8 to rgb8 changed the image"
depth = numpy.array([[1, 256, 65535]], dtype=numpy.uint16)
message = bridge.cv2_to_imgmsg(depth, "16UC1")
assert (bridge.imgmsg_to_cv2(message, "passthrough") == depth).all(), "16UC1 changed the image"
"""
_TRY_POINT_CLOUD2 = """
import numpy
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header
points = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
cloud = point_cloud2.create_cloud_xyz32(Header(), points)
assert (point_cloud2.read_points_numpy(cloud) == points).all(), "the points changed"
"""
_TRY_TF2_ROS = """
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster
"""


def _choose(name: str, attempt: str, own: ModuleType, module: str) -> tuple[ModuleType, str]:
    """The distribution's module where it works, else ours; with what to tell about it."""
    fault = find_fault(name, attempt)
    if fault is None:
        _LOG.info("using the distribution's %s", name)
        return importlib.import_module(module), "distribution"
    # A missing package is the normal case without a distribution; a broken one is worth a warning.
    _LOG.log(logging.INFO if fault.missing else logging.WARNING, "using our own %s: %s", name, fault.reason)
    return own, f"own: {fault.reason}"


ORIGINS: dict[str, str] = {}
_cv_bridge, ORIGINS["cv_bridge"] = _choose("cv_bridge", _TRY_CV_BRIDGE, bridge, "cv_bridge")
point_cloud2, ORIGINS["sensor_msgs_py"] = _choose(
    "sensor_msgs_py", _TRY_POINT_CLOUD2, clouds, "sensor_msgs_py.point_cloud2"
)
_tf2_ros, ORIGINS["tf2_ros"] = _choose("tf2_ros", _TRY_TF2_ROS, transforms, "tf2_ros")

CvBridgeError = _cv_bridge.CvBridgeError
# Ours turns encodings into colours that the distribution's refuses (nv12) or hands out raw; it takes those over.
CvBridge = _cv_bridge.CvBridge if _cv_bridge is bridge else bridge.extend_bridge(_cv_bridge.CvBridge, CvBridgeError)
TransformBroadcaster = _tf2_ros.TransformBroadcaster
StaticTransformBroadcaster = _tf2_ros.StaticTransformBroadcaster

__all__ = [
    "ORIGINS",
    "CvBridge",
    "CvBridgeError",
    "StaticTransformBroadcaster",
    "TransformBroadcaster",
    "point_cloud2",
]
