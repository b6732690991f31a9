"""Start a paused bag player when the node listens: ``python -m attnchain_ros.node.resume_player``.

Used by launch/replay.launch.py, so that no frame is lost. It asks for the node's state instead of listening for its
transition: that message may have gone by before anybody has found the node.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from ..errors import AttnChainError, ConfigError
from .replaying import PLAYER
from .settling import wait_for_subscribers

_POLL_S = 0.1
_ASK_AGAIN_S = 5.0


def service_type(name: str) -> type[Any]:
    """A service's class by its name, such as ``rosbag2_interfaces/srv/Resume``.

    Raises:
        ConfigError: there is none.
    """
    package, _, kind = name.partition("/srv/")
    if not package or not kind:
        raise ConfigError(f"service type {name!r} is not installed: wanted PACKAGE/srv/NAME")
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.srv"), kind)
        return found
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"service type {name!r} is not installed: {error}") from error


def resume_when_active(
    node: Node, watched: str, player: str, topics: Sequence[str], resume_type: type[Any], timeout_s: float
) -> None:
    """Wait until a lifecycle node is active, listens, and the player plays; then let the player go on.

    Args:
        node: asks and calls.
        watched: full name of the lifecycle node.
        player: full name of the player's node.
        topics: of the bag, full names, the image's first; the node must listen to the image.
        resume_type: type of the player's ``resume`` service.
        timeout_s: for each of the steps.
    Raises:
        AttnChainError: not active, no subscriber or no answer in time.
    """
    states: Any = node.create_client(GetState, f"{watched}/get_state")
    resume: Any = node.create_client(resume_type, f"{player}/resume")

    def is_active() -> bool:
        if not states.service_is_ready():
            return False
        answer = _answer(node, states, GetState.Request(), timeout_s)
        return answer is not None and bool(answer.current_state.id == State.PRIMARY_STATE_ACTIVE)

    _wait(is_active, f"{watched} is not active after {timeout_s:g} s: see its log", timeout_s)
    _wait(resume.service_is_ready, f"{player} offers no resume service after {timeout_s:g} s", timeout_s)
    image = topics[0]
    _wait(
        lambda: node.count_publishers(image) > 0 and node.count_subscribers(image) > 0,
        f"after {timeout_s:g} s {image} lacks its publisher (the player) or its subscriber (the node)",
        timeout_s,
    )
    wait_for_subscribers(node, topics, lambda: node.count_subscribers(image) > 0)
    _wait(
        lambda: _answer(node, resume, resume_type.Request(), timeout_s) is not None,
        f"{player} did not answer within {timeout_s:g} s",
        timeout_s,
    )


def _wait(condition: Callable[[], bool], otherwise: str, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AttnChainError(otherwise)
        time.sleep(_POLL_S)


def _answer(node: Node, client: Any, request: Any, timeout_s: float) -> Any:
    """The answer to a request, or None: a server that is gone, or has not found the client yet, gives none."""
    future = client.call_async(request)
    rclpy.spin_until_future_complete(node, future, timeout_sec=min(_ASK_AGAIN_S, timeout_s))
    if future.done():
        return future.result()
    client.remove_pending_request(future)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait, resume, end: 0 when the player goes on, 1 otherwise."""
    words = list(sys.argv if arguments is None else arguments)
    parser = argparse.ArgumentParser(description="Resume a paused bag player when the node is active.")
    parser.add_argument("--node", required=True, help="full name of the lifecycle node")
    parser.add_argument("--player", default=f"/{PLAYER}", help=f"full name of the player (default /{PLAYER})")
    parser.add_argument("--topic", action="append", required=True, help="topic of the bag, the image first; repeated")
    parser.add_argument("--resume-type", default="rosbag2_interfaces/srv/Resume", help="type of the service")
    parser.add_argument("--timeout", type=float, default=600.0, metavar="S", help="for each step (default 600)")
    args = parser.parse_args(remove_ros_args(words)[1:])
    rclpy.init(args=words)
    node = rclpy.create_node("attnchain_resume_player")
    try:
        resume_when_active(node, args.node, args.player, args.topic, service_type(args.resume_type), args.timeout)
        node.get_logger().info(f"{args.node} is active: {args.player} goes on")
        return 0
    except AttnChainError as error:
        node.get_logger().fatal(f"the bag stays paused: {error}")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
