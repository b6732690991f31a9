"""The real node in this process, fed through its own callbacks, for benchmarks."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from attnchain_ros.lab.demo.processes import free_domain, isolated_environment
from attnchain_ros.node.lifecycle import AttnChainNode
from attnchain_ros.node.main import THREADS, make_engine
from attnchain_ros.node.parameters import NodeSettings
from attnchain_ros.node.session import Session
from attnchain_ros.node.worker import Engine
from attnchain_ros.threads import take_short_turns


class RunningNode:
    """The node, configured, active and spinning as the executable does it, in a ROS domain of its own.

    Args:
        parameters: changed parameters by name.
        engine_from: builds what computes the windows.
    Raises:
        RuntimeError: a transition failed; the log says why.
    """

    def __init__(self, parameters: dict[str, Any], engine_from: Callable[[NodeSettings], Engine] = make_engine) -> None:
        self.environment = isolated_environment(free_domain(random.Random(os.getpid())))
        os.environ.update(self.environment)
        take_short_turns()
        rclpy.init(args=[])
        changed = {"autostart": False, **parameters}
        overrides = [Parameter(name, value=value) for name, value in changed.items()]
        self.node = AttnChainNode(engine_from, parameter_overrides=overrides)
        self._threads = set(threading.enumerate())
        self.executor = MultiThreadedExecutor(num_threads=THREADS)
        self.executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        if self.node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            raise RuntimeError("the node could not be configured: see its log")
        if self.node.trigger_activate() != TransitionCallbackReturn.SUCCESS:
            raise RuntimeError("the node could not be activated: see its log")

    def _spin(self) -> None:
        while not self._stop.is_set():
            self.executor.spin_once(timeout_sec=0.2)

    @property
    def session(self) -> Session:
        """What is configured."""
        session = self.node.session
        if session is None:
            raise RuntimeError("the node is not configured")
        return session

    def feed(self, image: Any, mask: Any) -> None:
        """Hand one image and its mask to the node's own callbacks; with policy block this waits for room."""
        self.session.inputs.mask.callback(mask)
        self.session.inputs.image.callback(image)

    def threads_left(self) -> int:
        """Threads of the node that still run; to be asked at the end."""
        return sum(thread.name.startswith("attnchain") for thread in set(threading.enumerate()) - self._threads)

    def __enter__(self) -> RunningNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.node.end()
        self._stop.set()
        self._thread.join(5.0)
        self.executor.shutdown(timeout_sec=2.0)
        self.node.destroy_node()
        rclpy.try_shutdown()
