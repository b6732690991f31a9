"""Whether what the node would read is published: judged from what was seen of the ROS graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .findings import Finding, State

IMAGE, COMPRESSED, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))
_MOST_LISTED = 30
_OWN = ("/rosout", "/parameter_events")


@dataclass(frozen=True)
class Wanted:
    """Topics that the node would read, as it is remapped; None = under its own name.

    Attributes:
        image, mask, camera_info, depth: full names.
    """

    image: str | None = None
    mask: str | None = None
    camera_info: str | None = None
    depth: str | None = None


@dataclass(frozen=True)
class Topic:
    """A topic that someone publishes or reads.

    Attributes:
        name: full.
        types: of its messages, mostly one.
        offers: reliability and durability of its publishers, each kind once.
        publishers, subscribers: how many.
    """

    name: str
    types: tuple[str, ...]
    offers: tuple[str, ...]
    publishers: int
    subscribers: int

    def line(self) -> str:
        """For people."""
        offers = f"; {'; '.join(self.offers)}" if self.offers else ""
        return f"{self.name} ({', '.join(self.types)}{offers}; {self.publishers} out, {self.subscribers} in)"


def read_topics(rows: Sequence[Mapping[str, Any]]) -> list[Topic]:
    """The topics of a report of ``attnchain_ros.node.looking``, without those that every node has."""
    found = [
        Topic(
            str(row["name"]), tuple(row["types"]), tuple(row["offers"]), int(row["publishers"]), int(row["subscribers"])
        )
        for row in rows
    ]
    return [topic for topic in found if topic.name not in _OWN]


def list_topics(topics: Sequence[Topic], nodes: Sequence[str], domain: str, seconds: float) -> Finding:
    """Who and what is there."""
    if not nodes and not topics:
        advice = (
            "start the camera's driver; if it runs: the same ROS_DOMAIN_ID, ROS_AUTOMATIC_DISCOVERY_RANGE and network "
            "as here?"
        )
        return Finding("topics", State.WARN, f"nobody else was seen in domain {domain} within {seconds:g} s", advice)
    listed = tuple(topic.line() for topic in topics[:_MOST_LISTED])
    more = len(topics) - len(listed)
    who = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'} ({', '.join(nodes[:8])})"
    text = f"{who}, {len(topics)} topics in domain {domain}"
    return Finding("topics", State.OK, text, "", (*listed, f"and {more} more") if more else listed)


def judge_topics(topics: Sequence[Topic], wanted: Wanted) -> list[Finding]:
    """Whether the node would find image, mask, camera_info and depth.

    What is not published under the node's own name is a remark, since a launch file will remap it; a topic that was
    named and is not published is a failure.
    """
    named = {topic.name: topic for topic in topics if topic.publishers}
    pictures = [topic for topic in named.values() if topic.types[:1] == (IMAGE,)]
    infos = [topic for topic in named.values() if topic.types[:1] == (INFO,)]
    masks = [topic for topic in pictures if _sounds_like(topic, "mask", "segment")]
    depths = [topic for topic in pictures if _sounds_like(topic, "depth")]
    images = [topic for topic in pictures if topic not in masks and topic not in depths]
    found = [
        _judge("image", wanted.image, IMAGE, named, images, "the node computes nothing without images"),
        _judge("mask", wanted.mask, IMAGE, named, masks, "without masks set foreground to sam2 (a click) or grabcut"),
        _judge("camera_info", wanted.camera_info, INFO, named, infos, "without one a focal length is assumed"),
    ]
    if wanted.depth is not None or depths:
        found.append(_judge("depth", wanted.depth, IMAGE, named, depths, "without depth lengths are unitless"))
    return found


def _judge(
    role: str, asked: str | None, kind: str, named: Mapping[str, Topic], others: Sequence[Topic], without: str
) -> Finding:
    """One input of the node; ``others``: topics that would do."""
    name = asked if asked is not None else f"/{role}"
    topic, twin = named.get(name), named.get(f"{name}/compressed")
    if topic is not None and topic.types == (kind,):
        return Finding(role, State.OK, f"{name} is published ({'; '.join(topic.offers)}): what is offered is asked for")
    missing = State.WARN if asked is None else State.FAIL
    if topic is not None:
        text = f"{name} is published as {', '.join(topic.types)}, the node reads {kind}"
        return Finding(role, missing, text, f"remap to another topic: -r {role}:=...")
    if twin is not None and role in ("image", "mask"):
        text = f"nothing publishes {name}, but {twin.name} is published"
        return Finding(role, State.WARN, text, f"set the parameter {role}_transport to compressed")
    likely = [other.name for other in others if other.name != name][:8]
    advice = f"remap one: {' or '.join(f'-r {role}:={other}' for other in likely)}" if likely else without
    return Finding(role, missing, f"nothing publishes {name}", advice)


def _sounds_like(topic: Topic, *words: str) -> bool:
    return any(word in topic.name.lower() for word in words)
