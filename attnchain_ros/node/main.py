"""The executable ``attnchain_node``."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.signals import SignalHandlerOptions

from ..errors import ConfigError
from ..threads import prepare, take_short_turns
from .lifecycle import AttnChainNode
from .parameters import NodeSettings
from .worker import Engine

THREADS = 8
"""Image, mask and others, transitions, timers, and room for services that write files."""


class RosLogHandler(logging.Handler):
    """Passes the library's log records on to the node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        text = self.format(record)
        # One call site per level: rclpy refuses a site that changes its severity.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)


def make_engine(settings: NodeSettings) -> Engine:
    """The real engine; imported here because torch takes seconds, and the node should answer before."""
    prepare(settings.node.threads)
    from .engine import RolloutEngine

    return RolloutEngine(settings)


def main(arguments: Sequence[str] | None = None, engine_from: Callable[[NodeSettings], Engine] = make_engine) -> int:
    """Run the node until SIGINT or SIGTERM.

    Args:
        arguments: command line with the program's name, None = ``sys.argv``.
        engine_from: builds what computes the windows, in the worker's thread.
    Returns:
        2 where start-up parameters cannot be used; after a signal the process ends with status 0 and this does not
        return.
    """
    take_short_turns()
    # Own handlers: rclpy's shut the context down at once, and then nothing can be ended in order.
    rclpy.init(args=list(sys.argv if arguments is None else arguments), signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        node = AttnChainNode(engine_from)
    except ConfigError as error:
        rclpy.logging.get_logger("attnchain_node").fatal(f"parameters cannot be used: {error}")
        rclpy.shutdown()
        return 2
    library = logging.getLogger("attnchain_ros")
    library.addHandler(RosLogHandler(node.get_logger()))
    library.setLevel(logging.INFO)
    executor = MultiThreadedExecutor(num_threads=THREADS)
    executor.add_node(node)
    # In a thread of its own, because the main thread has to be free for the signal handlers.
    spinning = threading.Thread(target=_spin, args=(executor, node, stop), name="attnchain-executor", daemon=True)
    spinning.start()
    stop.wait()
    node.get_logger().info("ending")
    if node.end():
        executor.shutdown(timeout_sec=0.5)
        spinning.join(timeout=0.5)
        node.destroy_node()
        rclpy.try_shutdown()
    else:
        # A step of torch cannot be interrupted; files are whole at any time (write, then rename).
        node.get_logger().warning("the worker is inside a step that cannot be interrupted; leaving it behind")
    # Not by way of the interpreter's own end: on a busy machine it takes seconds to unload torch, and everything that
    # matters has been ended in order above.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _spin(executor: MultiThreadedExecutor, node: AttnChainNode, stop: threading.Event) -> None:
    """Spin until the executor is shut down; an error in one callback must not end all others."""
    while not stop.is_set():
        try:
            executor.spin()
            return
        except ExternalShutdownException:
            stop.set()
        except Exception:
            if stop.is_set():
                return
            node.get_logger().error("an error in a callback:\n" + traceback.format_exc())


if __name__ == "__main__":
    sys.exit(main())
