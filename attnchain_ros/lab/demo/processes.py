"""Processes of the demonstration's own, ended in every case."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ...errors import AttnChainError

_DISCOVERY_PORT, _PORTS_PER_DOMAIN = 7400, 250
_DOMAINS = range(1, 100)
_PATIENCE_S = 5.0


def free_domain(rng: random.Random) -> int:
    """A ROS domain in which nobody on this machine listens, chosen at random.

    Raises:
        AttnChainError: there is none.
    """
    domains = list(_DOMAINS)
    rng.shuffle(domains)
    for domain in domains:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # Where DDS discovers others: port 7400 + 250 * domain (DDSI-RTPS 9.6.1.1).
                probe.bind(("", _DISCOVERY_PORT + _PORTS_PER_DOMAIN * domain))
            except OSError:
                continue
            return domain
    raise AttnChainError(f"every ROS domain from {_DOMAINS.start} to {_DOMAINS.stop - 1} is in use on this machine")


def isolated_environment(domain: int) -> dict[str, str]:
    """This process's environment with ROS kept to one domain of this machine."""
    return {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


class Child:
    """A Python module run as a process; use it as a context manager, at whose end it has ended.

    Args:
        name: what it is called in messages.
        module: run with ``python -m``.
        arguments: of the module.
        environment: of the process.
        log: file that gets its output.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], environment: dict[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            # A session of its own: Ctrl-C in the terminal reaches this process only, which ends the others in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """Ask it to stop, and stop it where it does not."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                return
            self._process.send_signal(number)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                continue

    def last_lines(self, count: int = 15) -> str:
        """The end of what it wrote."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-count:])
