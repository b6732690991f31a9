"""``~/object_mesh`` and ``~/object_box`` for motion planners, where the packages of their messages are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import wire
from ..rollout.window import WindowResult
from . import building, cdr, qos
from .parameters import PublishConfig

BOX = "vision_msgs/msg/Detection3DArray"
_BOX_TOPIC = "~/object_box"
_TOPICS = {"~/object_mesh": building.MESH, _BOX_TOPIC: BOX}
Offer = Callable[[Any, Callable[[], Any]], None]


class Planning:
    """The publishers of both topics; a topic whose package is missing is left out and named once.

    Args:
        publisher: gives one for a message's class, a topic and a profile; the same one for the same topic.
        tell: writes a line of log.
        objects: that may be there at once; of several each has a mesh topic of its own, made when it is first offered.
    """

    def __init__(
        self, publisher: Callable[[type[Any], str, Any], Any], tell: Callable[[str], object], objects: int = 1
    ) -> None:
        self._publisher = publisher
        self._objects = objects
        self._kinds: dict[str, type[Any]] = {}
        for topic, name in _TOPICS.items():
            kind = building.find_class(name)
            if kind is None:
                tell(f"{topic} is left out: {name.partition('/')[0]} is not installed")
                continue
            self._kinds[name] = kind
            if objects == 1 or name == BOX:
                self._at(name, topic)

    def _at(self, name: str, topic: str) -> Any:
        return self._publisher(self._kinds[name], topic, qos.latched_output(self._objects if name == BOX else 1))

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
        if wanted.object_mesh and building.MESH in self._kinds:
            offer(self._at(building.MESH, names.topic("object_mesh")), lambda: _mesh(result, fast))
        if wanted.object_box and BOX in self._kinds:
            offer(self._at(BOX, _BOX_TOPIC), lambda: building.build(BOX, wire.object_box(result, names)))


def _mesh(result: WindowResult, fast: bool) -> Any:
    args = wire.newest_vertices(result), result.faces
    return cdr.shape_mesh(*args) if fast else building.build(building.MESH, wire.object_mesh(*args))
