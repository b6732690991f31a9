"""``~/object_mesh`` and ``~/object_box`` for motion planners, where the packages of their messages are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import wire
from ..rollout.window import WindowResult
from . import building, cdr, qos
from .parameters import PublishConfig

BOX = "vision_msgs/msg/Detection3DArray"
_TOPICS = {"~/object_mesh": building.MESH, "~/object_box": BOX}
Offer = Callable[[Any, Callable[[], Any]], None]


class Planning:
    """The publishers of both topics; a topic whose package is missing is left out and named once.

    Args:
        publisher: makes one from a message's class, a topic and a profile.
        tell: writes a line of log.
    """

    def __init__(self, publisher: Callable[[type[Any], str, Any], Any], tell: Callable[[str], object]) -> None:
        self._made: dict[str, Any] = {}
        for topic, name in _TOPICS.items():
            kind = building.find_class(name)
            if kind is None:
                tell(f"{topic} is left out: {name.partition('/')[0]} is not installed")
            else:
                self._made[name] = publisher(kind, topic, qos.latched_output())

    def offer(
        self, result: WindowResult, names: wire.Names, wanted: PublishConfig, offer: Offer, *, fast: bool
    ) -> None:
        """Offer the newest frame of a window; nothing is built unless someone listens.

        Args:
            result, names: of the window.
            wanted: which outputs the user wants.
            offer: takes a publisher and the way to build its message.
            fast: build bytes instead of Python objects.
        """
        if wanted.object_mesh and building.MESH in self._made:
            offer(self._made[building.MESH], lambda: _mesh(result, fast))
        if wanted.object_box and BOX in self._made:
            offer(self._made[BOX], lambda: building.build(BOX, wire.object_box(result, names)))


def _mesh(result: WindowResult, fast: bool) -> Any:
    args = wire.newest_vertices(result), result.faces
    return cdr.shape_mesh(*args) if fast else building.build(building.MESH, wire.object_mesh(*args))
