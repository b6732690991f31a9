"""The node's own figures as diagnostics: 1 Hz on /diagnostics, and latched on ~/status."""

from __future__ import annotations

import math
from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from ..rollout.judging import TRUSTED_OVERLAP, TRUSTED_POSES
from ..stream.accounts import Accounts
from ..stream.masking import FOLLOWING, MaskFigures
from . import qos
from .live import LiveFigures
from .statistics import Snapshot, memory_mb
from .track import ObjectFigures

_RECENT_S = 30.0
"""A window that failed so recently makes the status a warning; an old one is only counted."""


def status_message(
    name: str,
    state: str,
    silence: str,
    accounts: Accounts | None,
    figures: Snapshot | None,
    live: LiveFigures | None = None,
    *,
    masks: MaskFigures | None = None,
) -> DiagnosticStatus:
    """All figures in one status.

    Args:
        name: full name of the node.
        state: its lifecycle state.
        silence: why nothing comes, "" = it comes.
        accounts: of the frame buffer, None = not configured.
        figures: of the statistics, None = not configured.
        live: of the live lane, None = not configured or switched off.
        masks: of the masks from a prompt, None = not configured or another foreground.
    """
    values: dict[str, str] = {"state": state}
    level, message = DiagnosticStatus.OK, state
    if accounts is not None and figures is not None:
        values |= {
            "images per second": _number(figures.image_rate_hz),
            "image callback p95 [ms]": _number(figures.callback_p95_s * 1e3),
            "windows per second": _number(figures.window_rate_hz),
            "windows": str(figures.windows),
            "windows failed": str(figures.failed_windows),
            "window p50 [s]": _number(figures.window_p50_s),
            "window p95 [s]": _number(figures.window_p95_s),
            "delay of the newest frame p50 [s]": _number(figures.delay_p50_s),
            "delay of the newest frame p95 [s]": _number(figures.delay_p95_s),
            "publishing p95 [ms]": _number(figures.publish_p95_s * 1e3),
            **_frame_values(accounts),
            "outline overlap": _number(figures.overlap),
            "share of frames with a pose": _number(figures.poses),
            "poses withheld": str(figures.withheld),
            "stage": figures.last_stage,
            "last error": figures.last_error,
        }
        values |= _cause_values(accounts)
        values |= {f"time: {stage} [s]": _number(seconds) for stage, seconds in sorted(figures.timings_s.items())}
        if state == "active":
            message = f"{figures.windows} windows, {accounts.used} of {accounts.received} frames used"
            if figures.failed_windows:
                message += f", {figures.failed_windows} failed"
            # Not below where they are not known: a comparison with what is not a number is false.
            if figures.overlap < TRUSTED_OVERLAP or figures.poses < TRUSTED_POSES:
                level = DiagnosticStatus.WARN
                message += (
                    f"; doubtful: outline overlap {_number(figures.overlap)} (trusted from {TRUSTED_OVERLAP:g}), "
                    f"{figures.poses:.0%} of frames with a camera pose (trusted from {TRUSTED_POSES:.0%})"
                )
            if figures.last_failure_s < _RECENT_S:
                level = DiagnosticStatus.WARN
                message += f", the last {figures.last_failure_s:.0f} s ago: {figures.last_error}"
            if silence:
                level, message = DiagnosticStatus.STALE, silence
    if live is not None:
        values |= _live_values(live)
        if state == "active" and live.state.startswith("lost"):
            message += f"; live pose {live.state}"
    if masks is not None:
        values |= _mask_values(masks)
        if state == "active" and masks.state != FOLLOWING:
            level = DiagnosticStatus.WARN if level == DiagnosticStatus.OK else level
            message += f"; masks: {masks.state}"
    values |= {f"memory: {kind} [MB]": _number(size) for kind, size in memory_mb().items()}
    return DiagnosticStatus(level=level, name=name.lstrip("/"), hardware_id="", message=message, values=_pairs(values))


def add_objects(status: DiagnosticStatus, objects: Sequence[ObjectFigures], counts: dict[str, int]) -> None:
    """Say in the node's status who is followed; nothing where objects do not come and go (``counts`` is empty)."""
    if counts:
        followed = ", ".join(str(one.object_id) for one in objects) or "none"
        values = {"objects": followed} | {f"objects: {what}": str(number) for what, number in sorted(counts.items())}
        status.values = [*status.values, *_pairs(values)]
        status.message += f"; objects followed: {followed}"


def add_lookups(status: DiagnosticStatus, failures: dict[str, int] | None, by: str) -> None:
    """Say in the node's status for how many images TF did not tell the camera's place; None: nobody asks.

    ``by``: what TF is looked up by.
    """
    if failures is not None:
        told = {"fixed frame: TF by": by, "fixed frame: images without": str(sum(failures.values()))}
        values = {f"fixed frame: images without, {cause}": str(count) for cause, count in sorted(failures.items())}
        status.values = [*status.values, *_pairs(told | values)]


def object_status(name: str, state: str, figures: ObjectFigures) -> DiagnosticStatus:
    """One of several objects in a status of its own.

    Args:
        name: full name of the node.   state: its lifecycle state.
        figures: of the object.
    """
    accounts, latest = figures.accounts, figures.latest
    overlap = float("nan") if latest is None else latest.silhouette_iou
    poses = float("nan") if latest is None else float(latest.camera.valid.mean())
    values = {
        "state": state,
        "windows": str(figures.windows),
        **_frame_values(accounts),
        "outline overlap": _number(overlap),
        "share of frames with a pose": _number(poses),
        **_cause_values(accounts),
    }
    message = f"{figures.windows} windows, {accounts.used} of {accounts.received} frames used"
    doubtful = overlap < TRUSTED_OVERLAP or poses < TRUSTED_POSES
    if doubtful:
        message += f"; doubtful: outline overlap {_number(overlap)}, {poses:.0%} of frames with a camera pose"
    if figures.live is not None:
        values |= _live_values(figures.live)
        if figures.live.state.startswith("lost"):
            message += f"; live pose {figures.live.state}"
    return DiagnosticStatus(
        level=DiagnosticStatus.WARN if doubtful else DiagnosticStatus.OK,
        name=f"{name.lstrip('/')}: object {figures.object_id}",
        hardware_id="",
        message=message,
        values=_pairs(values),
    )


def _frame_values(accounts: Accounts) -> dict[str, str]:
    """Where the frames went."""
    return {
        "frames in": str(accounts.received),
        "frames used": str(accounts.used),
        "frames dropped": str(sum(accounts.dropped.values())),
        "frames in flight": str(accounts.in_flight),
        "frames waiting": str(accounts.waiting),
        "frames awaiting a mask": str(accounts.awaiting_mask),
        "frames masked by GrabCut": str(accounts.made_masks),
        "stride": str(accounts.stride),
    }


def _cause_values(accounts: Accounts) -> dict[str, str]:
    """Drops and resets by cause."""
    dropped = {f"dropped: {cause}": str(count) for cause, count in sorted(accounts.dropped.items())}
    return dropped | {f"resets: {cause}": str(count) for cause, count in sorted(accounts.resets.items())}


def _pairs(values: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value) for key, value in values.items()]


def _live_values(live: LiveFigures) -> dict[str, str]:
    """The live lane's figures."""
    values = {
        "live: state": live.state,
        "live: latency p95 [ms]": _number(live.latency_p95_s * 1e3),
        "live: images": str(live.images),
        "live: dropped": str(live.dropped),
        "live: poses": str(live.poses),
        "live: errors": str(live.errors),
        "live: pictures kept": str(live.stored),
    }
    values |= {f"live: lost, {cause}": str(count) for cause, count in sorted(live.lost.items())}
    return values | {f"live: windows refused, {cause}": str(count) for cause, count in sorted(live.refused.items())}


def _mask_values(masks: MaskFigures) -> dict[str, str]:
    """Figures of the masks from a prompt."""
    return {
        "sam2: state": masks.state,
        **{f"sam2: images {sight.value}": str(count) for sight, count in masks.images.items()},
        "sam2: images failed": str(masks.errors),
        "sam2: mask p95 [ms]": _number(masks.p95_s * 1e3),
        "sam2: prompts": str(masks.prompts),
        "sam2: prompts refused": str(masks.refused),
    }


class Diagnostics:
    """Publishes the status, in every lifecycle state."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._array = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._status = node.create_publisher(DiagnosticStatus, "~/status", qos.latched_output())

    def publish(self, status: DiagnosticStatus, objects: Sequence[DiagnosticStatus] = ()) -> None:
        """Publish the node's status on both topics, those of its objects on /diagnostics."""
        message = DiagnosticArray(status=[status, *objects])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._array.publish(message)
        self._status.publish(status)


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.4g}"
