"""Quality of service by purpose, in one place; every profile can be overridden with ``qos_overrides`` parameters.

Subscriptions ask for what the publishers offer, so that best-effort drivers, reliable bags and latched publishers are
all received, and as completely as they can be. Outputs that describe a state are latched: whoever comes late gets the
last one.
"""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.topic_endpoint_info import TopicEndpointInfo

OVERRIDABLE = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)
"""Policies that ``qos_overrides.<topic>.<entity>.<policy>`` parameters can set."""
IMAGE_DEPTH = 10
COMPANION_DEPTH = 60
"""Of what belongs to images: on a busy machine it may be read later than they are, and must not be lost before."""
BURST_DEPTH = 600
SERVICE_DEPTH = 1000
WINDOW_DEPTH = 5


def overriding() -> QoSOverridingOptions:
    """Lets users set history, depth, reliability and durability by ``qos_overrides.<topic>.<entity>.<policy>``."""
    return QoSOverridingOptions(OVERRIDABLE)


def copy(profile: QoSProfile) -> QoSProfile:
    """Another profile with the same policies; rclpy changes the one it is given where overrides apply."""
    return QoSProfile(
        history=profile.history, depth=profile.depth, reliability=profile.reliability, durability=profile.durability
    )


def same(first: QoSProfile, second: QoSProfile | None, besides: Sequence[QoSPolicyKind] = ()) -> bool:
    """Whether two profiles receive the same, leaving out some policies; the depth is not looked at."""
    if second is None:
        return False
    kinds = {QoSPolicyKind.HISTORY, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY} - set(besides)
    return all(getattr(first, kind.name.lower()) == getattr(second, kind.name.lower()) for kind in kinds)


def camera_input(*, lossless: bool, depth: int = IMAGE_DEPTH) -> QoSProfile:
    """Images, masks, depth, camera_info in; ``lossless`` (policy block) asks reliable publishers for every sample."""
    if lossless:
        return QoSProfile(history=HistoryPolicy.KEEP_ALL, depth=0, reliability=ReliabilityPolicy.RELIABLE)
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT)


def prompt_input() -> QoSProfile:
    """Clicks: few, and none may be lost; viewers publish them reliable."""
    return QoSProfile(depth=IMAGE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)


def fit_publishers(profile: QoSProfile, publishers: Sequence[TopicEndpointInfo], *, latched: bool) -> QoSProfile:
    """A subscription's profile changed to what the publishers offer, where that receives more.

    Args:
        profile: what was asked for first.
        publishers: endpoints of the topic, any number.
        latched: ask latched publishers for their last sample (masks, camera_info).
    """
    if not publishers:
        return profile
    offered = [endpoint.qos_profile for endpoint in publishers]
    reliability, durability, history = profile.reliability, profile.durability, profile.history
    if any(offer.reliability == ReliabilityPolicy.BEST_EFFORT for offer in offered):
        reliability = ReliabilityPolicy.BEST_EFFORT
    else:
        # An image is many UDP packets; taken as best effort from a reliable publisher, one lost packet loses it.
        reliability = ReliabilityPolicy.RELIABLE
    if latched and all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offered):
        durability = DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(history=history, depth=profile.depth, reliability=reliability, durability=durability)


def latched_output(objects: int = 1) -> QoSProfile:
    """State: the last path, markers, status; of each of so many objects one."""
    return QoSProfile(
        depth=objects, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
    )


def window_output(objects: int = 1) -> QoSProfile:
    """Windows: latched, and deep enough that one whose packets must be sent again outlives the next windows.

    DDS asks for lost packets every few seconds; with a depth of 1 a faster next window would have replaced the sample.
    """
    return QoSProfile(
        depth=WINDOW_DEPTH * objects,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def burst_output() -> QoSProfile:
    """One message per frame, a whole window at once: deep enough for several windows."""
    return QoSProfile(depth=BURST_DEPTH, reliability=ReliabilityPolicy.RELIABLE)


def live_output() -> QoSProfile:
    """One message an image as it comes: what is late is worth nothing."""
    return QoSProfile(depth=IMAGE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)


def services() -> QoSProfile:
    """Requests: deep enough that a burst of calls waits to be answered instead of being lost."""
    return QoSProfile(depth=SERVICE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)


def camera_output(*, reliable: bool) -> QoSProfile:
    """What the fake camera publishes."""
    kind = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=IMAGE_DEPTH, reliability=kind)


def mismatches(profile: QoSProfile, offers: Sequence[QoSProfile]) -> list[str]:
    """Names of the policies for which a subscription asks more than every publisher offers."""
    found = []
    if profile.reliability == ReliabilityPolicy.RELIABLE and offers:
        if all(offer.reliability == ReliabilityPolicy.BEST_EFFORT for offer in offers):
            found.append("reliability")
    if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL and offers:
        if all(offer.durability == DurabilityPolicy.VOLATILE for offer in offers):
            found.append("durability")
    return found


def describe(profile: QoSProfile) -> str:
    """The two policies that decide whether endpoints match, in words."""
    return f"{profile.reliability.name.lower()}, {profile.durability.name.lower()}"
