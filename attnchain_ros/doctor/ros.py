"""ROS 2: the distribution, the middleware, our messages, the Fast DDS profile, and who is there.

Everything that needs rclpy runs in a process of its own (``attnchain_ros.node.looking``), with a limit on its time: a
middleware that hangs or crashes is a finding, too.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..node.profiles import OLD_VARIABLE, VARIABLE, find_profile, profile_environment
from .findings import Finding, State
from .topics import Wanted, judge_topics, list_topics, read_topics

START_S = 60.0
"""Longest time for a process to load rclpy and to leave again, on a busy machine."""
LEAST_SHARED = 64 * 10**6
"""Bytes of /dev/shm: three processes with the profile's 16 MB, and the middleware's own."""
_MODULE = "attnchain_ros.node.looking"


def look_at_ros(wanted: Wanted, listen_s: float) -> Iterator[Finding]:
    """Everything about ROS.

    Args:
        wanted: topics that the node would read.
        listen_s: how long to wait for others; 0 = leave it at what can be seen without starting ROS.
    """
    if importlib.util.find_spec("rclpy") is None:
        advice = "only the node needs it: source a distribution, or bash scripts/setup"
        yield Finding("ros", State.WARN, "no rclpy here: command line and library work, the node does not", advice)
        return
    yield Finding("ros", State.OK, distribution(os.environ))
    yield look_at_profile(os.environ)
    if listen_s <= 0:
        return
    report = ask_process(listen_s)
    if "error" in report:
        advice = "source the workspace, or bash scripts/setup --force"
        yield Finding("rmw", State.FAIL, str(report["error"]), advice)
        return
    yield Finding("rmw", State.OK, f"{report['rmw']}, domain {report['domain']}, discovery {report['range']}")
    yield look_at_messages(report)
    topics = read_topics(report["topics"])
    yield list_topics(topics, report["nodes"], str(report["domain"]), listen_s)
    yield from judge_topics(topics, wanted)


def distribution(environment: Mapping[str, str]) -> str:
    """Where rclpy comes from, in words."""
    sourced = environment.get("ROS_DISTRO", "")
    try:
        version = importlib.metadata.version("ros-rclpy")
    except importlib.metadata.PackageNotFoundError:
        return f"ROS 2 {sourced or 'of an unnamed distribution'}"
    return f"rclpy {version} from Python wheels" + (f", ROS_DISTRO is {sourced}" if sourced else "")


def look_at_profile(environment: Mapping[str, str], shared: int | None = None) -> Finding:
    """Which Fast DDS profile is in use here, and whether shared memory has room.

    Args:
        environment: variables.
        shared: bytes of /dev/shm; None = look.
    """
    room = _shared_memory() if shared is None else shared
    small = f"; /dev/shm has {room / 1e6:.0f} MB" if room is not None and room < LEAST_SHARED else ""
    if "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return Finding("dds profile", State.OK, f"none: {environment['RMW_IMPLEMENTATION']} has its own settings")
    given = environment.get(VARIABLE) or environment.get(OLD_VARIABLE)
    if given:
        if not Path(given).is_file():
            advice = f"Fast DDS says nothing about it and uses its defaults: put {VARIABLE} right"
            return Finding("dds profile", State.WARN, f"{given} does not exist", advice)
        return _with_room("dds profile", given, small)
    if environment.get("FASTDDS_BUILTIN_TRANSPORTS"):
        text = f"none: FASTDDS_BUILTIN_TRANSPORTS is {environment['FASTDDS_BUILTIN_TRANSPORTS']}"
        return _with_room("dds profile", text, small)
    found = find_profile()
    if found is None or not profile_environment(environment):
        return _with_room("dds profile", "none", small)
    return _with_room("dds profile", f"none set; for a driver of large images: export {VARIABLE}={found}", small)


def _with_room(name: str, text: str, small: str) -> Finding:
    advice = "large images need more: start the container with --shm-size=512m" if small else ""
    return Finding(name, State.WARN if small else State.OK, text + small, advice)


def look_at_messages(report: Mapping[str, Any]) -> Finding:
    """Whether our messages and services are built and can be loaded."""
    if report["messages_error"]:
        advice = "bash scripts/setup builds them; in a workspace: colcon build, then source install/setup.bash"
        return Finding("messages", State.FAIL, f"not built: {report['messages_error']}", advice)
    text = f"built: {', '.join(report['messages'])}"
    if report.get("left_out"):
        text += f"; not installed, so that the node leaves out: {', '.join(report['left_out'])}"
    return Finding("messages", State.OK, text)


def ask_process(listen_s: float, limit_s: float = START_S, module: str = _MODULE) -> dict[str, Any]:
    """What a process with rclpy says; ``{"error": why}`` where it says nothing.

    Args:
        listen_s: how long it waits for others.
        limit_s: how long it may take besides.
        module: run with ``python -m``.
    """
    command = [sys.executable, "-W", "ignore", "-m", module, str(listen_s)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=listen_s + limit_s, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return {"error": f"rclpy did not answer within {listen_s + limit_s:g} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        return {"error": f"rclpy cannot be used: {last}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _shared_memory(place: str = "/dev/shm") -> int | None:
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    return found.f_blocks * found.f_frsize
