"""From a video of one moving object to an animated mesh, point tracks and camera poses, with or without ROS 2.

>>> import attnchain_ros as ac
>>> ac.animate("clip/", masks="masks/").write_glb("animation.glb")  # doctest: +SKIP

Importing this package imports neither ROS nor torch; ``offline`` comes with the first use of what ``__all__`` names.
``attnchain_ros.rollout.pipeline`` is the method on one page, ``attnchain_ros.node`` the ROS 2 node.
"""

from __future__ import annotations

from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .masks import Prompt
    from .offline import Animation, animate, animations, load

__all__ = ["Animation", "Prompt", "__version__", "animate", "animations", "load"]
__version__ = "0.1.0"

# With an editable install the generated `attnchain_ros.msg` and `attnchain_ros.srv` lie in site-packages while the
# sources lie in the checkout: both folders together are this package. Where both are one folder this changes nothing.
__path__ = extend_path(__path__, __name__)


def __getattr__(name: str) -> Any:
    """The face of the package, loaded when it is asked for: torch takes seconds to import."""
    if name in __all__:
        from . import offline

        return getattr(offline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
