"""From a video of one moving object to an animated mesh, point tracks and camera poses, with or without ROS 2.

Importing this package imports neither ROS nor torch. Start at ``attnchain_ros.rollout.pipeline``, the data flow on
one page; the ROS 2 node is ``attnchain_ros.node``, the command line ``attnchain_ros.cli``.
"""

from pkgutil import extend_path

__version__ = "0.1.0"

# With an editable install the generated `attnchain_ros.msg` and `attnchain_ros.srv` lie in site-packages while the
# sources lie in the checkout: both folders together are this package. Where both are one folder this changes nothing.
__path__ = extend_path(__path__, __name__)
