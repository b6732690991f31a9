"""What the status says: every figure, and when it is a warning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node.hand_made import make_result

from attnchain_ros.node.diagnostics import status_message
from attnchain_ros.node.live import LiveFigures
from attnchain_ros.node.statistics import Statistics
from attnchain_ros.stream.buffer import FrameBuffer
from attnchain_ros.stream.config import StreamConfig

pytestmark = pytest.mark.ros


def status_of(statistics: Statistics, now_s: float, state: str = "active", silence: str = "") -> DiagnosticStatus:
    accounts = FrameBuffer(StreamConfig()).accounts()
    return status_message("/robot/attnchain_node", state, silence, accounts, statistics.snapshot(now_s))


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def test_all_figures_are_there():
    statistics = Statistics()
    for number in range(11):
        statistics.image(100.0 + 0.1 * number, 0.002)
    for number, seconds in enumerate((1.0, 2.0, 3.0)):
        result = dataclasses.replace(make_result(np.array([1, 2])), timings_s={"denoising": 0.5})
        statistics.window(100.0 + 2 * number, seconds, seconds + 1, 0.01, result)
    status = status_of(statistics, 105.0)
    assert status.level == DiagnosticStatus.OK and status.name == "robot/attnchain_node"
    found = values(status)
    expected = {
        "state": "active",
        "images per second": "10",
        "image callback p95 [ms]": "2",
        "windows per second": "0.5",
        "windows": "3",
        "windows failed": "0",
        "window p50 [s]": "2",
        "window p95 [s]": "2.9",
        "delay of the newest frame p50 [s]": "3",
        "delay of the newest frame p95 [s]": "3.9",
        "publishing p95 [ms]": "10",
        "frames in": "0",
        "frames waiting": "0",
        "stride": "1",
        "time: denoising [s]": "0.5",
        "last error": "",
    }
    assert {key: found[key] for key in expected} == expected
    assert float(found["memory: resident [MB]"]) > 10


def test_a_failed_window_warns_for_a_while_and_stays_counted():
    statistics = Statistics()
    statistics.failed(100.0, "MaskError: all masks are empty")
    soon, later = status_of(statistics, 110.0), status_of(statistics, 140.0)
    assert soon.level == DiagnosticStatus.WARN
    assert "1 failed, the last 10 s ago: MaskError: all masks are empty" in soon.message
    assert later.level == DiagnosticStatus.OK and "1 failed" in later.message
    assert values(later)["windows failed"] == "1" and values(later)["last error"] == "MaskError: all masks are empty"


def test_silence_is_stale_and_told():
    status = status_of(Statistics(), 0.0, silence="no image for 5 s: nothing publishes /image")
    assert status.level == DiagnosticStatus.STALE and "nothing publishes /image" in status.message


def test_an_unconfigured_node_tells_its_state_and_memory():
    status = status_message("/n", "unconfigured", "", None, None)
    assert status.level == DiagnosticStatus.OK and status.message == "unconfigured"
    assert "frames in" not in values(status) and "memory: resident [MB]" in values(status)


def test_the_live_lane_is_told_and_said_where_it_is_lost():
    figures = LiveFigures(
        state="lost: few_points", images=90, dropped=2, poses=60, errors=0, latency_p95_s=0.0125, stored=75,
        lost={"few_points": 3}, refused={"no_pose": 1},
    )  # fmt: skip
    accounts, statistics = FrameBuffer(StreamConfig()).accounts(), Statistics().snapshot(1.0)
    status = status_message("/n", "active", "", accounts, statistics, figures)
    assert status.message.endswith("; live pose lost: few_points") and status.level == DiagnosticStatus.OK
    found = values(status)
    expected = {
        "live: state": "lost: few_points", "live: latency p95 [ms]": "12.5", "live: images": "90", "live: dropped": "2",
        "live: poses": "60", "live: errors": "0", "live: pictures kept": "75", "live: lost, few_points": "3",
        "live: windows refused, no_pose": "1",
    }  # fmt: skip
    assert {key: found[key] for key in expected} == expected
    tracking = status_message("/n", "active", "", accounts, statistics, dataclasses.replace(figures, state="tracking"))
    assert "live" not in tracking.message
    assert not any(key.startswith("live") for key in values(status_message("/n", "active", "", accounts, statistics)))


def test_poses_withheld_are_counted_once_a_frame():
    figures = Statistics()
    result = make_result(np.array([1, 2, 3]))
    camera = dataclasses.replace(result.camera, valid=np.array([False, True, False]))
    result = dataclasses.replace(result, camera=camera)
    for shared in (False, True):
        figures.window(1.0, 0.1, 0.1, 0.01, dataclasses.replace(result, shared_first=shared))
    status = status_message("node", "active", "", FrameBuffer(StreamConfig()).accounts(), figures.snapshot(2.0))
    assert {item.key: item.value for item in status.values}["poses withheld"] == "3"


@pytest.mark.parametrize(
    ("overlap", "poses", "doubtful"), [(0.6, 2, False), (float("nan"), 4, False), (0.28, 4, True), (0.97, 1, True)]
)
def test_figures_below_what_is_trusted_make_it_a_warning(overlap: float, poses: int, doubtful: bool):
    figures = Statistics()
    result = make_result(np.array([1, 2, 3, 4]))
    camera = dataclasses.replace(result.camera, valid=np.arange(4) < poses)
    figures.window(1.0, 0.1, 0.1, 0.01, dataclasses.replace(result, silhouette_iou=overlap, camera=camera))
    status = status_of(figures, 2.0)
    assert status.level == (DiagnosticStatus.WARN if doubtful else DiagnosticStatus.OK)
    told = f"doubtful: outline overlap {overlap:.4g} (trusted from 0.6), {poses / 4:.0%} of frames with a camera pose"
    assert (told in status.message) == doubtful
