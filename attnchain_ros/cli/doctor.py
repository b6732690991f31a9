"""``attnchain doctor``: one page about this machine, each line ok, warn or fail with what to do."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .. import __version__
from ..doctor import Finding, Options, State, examine, page_lines, report_json
from ..doctor.topics import Wanted
from ..errors import ConfigError
from .arguments import parse_threads, synthetic_source
from .main import FAILED, OK

_CLIP, _FRAMES = "0", 16
_LONGEST_S = 60.0
_ROLES = ("image", "mask", "camera-info", "depth")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "--weights", type=Path, metavar="DIR", help="checkpoint folder to look at (default: the package's small one)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="precision to compute in"
    )
    parser.add_argument("--threads", type=parse_threads, default=0, metavar="N", help="threads on the CPU")
    parser.add_argument("--quick", action="store_true", help="leave the test window out, which takes ten seconds")
    parser.add_argument(
        "--listen", type=float, default=2.0, metavar="S",
        help="how long to wait for other ROS nodes (default %(default)g; 0: ROS is not started)",
    )  # fmt: skip
    for role in _ROLES:
        name = role.replace("-", "_")
        parser.add_argument(
            f"--{role}", metavar="TOPIC", help=f"what {name} will be remapped to; it fails if nobody publishes it"
        )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs and bug reports")


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is looked at.

    Raises:
        ConfigError: an argument cannot be used.
    """
    if not 0 <= args.listen <= _LONGEST_S:
        raise ConfigError(f"--listen is {args.listen}, wanted 0 to {_LONGEST_S:g} seconds")
    named = [role for role in _ROLES if getattr(args, role.replace("-", "_")) is not None]
    if named and not args.listen:
        raise ConfigError(f"--{named[0]} is looked for in the ROS graph: leave out --listen 0")


def run(args: argparse.Namespace) -> int:
    """Look at everything; 0 if nothing failed (remarks are no failure), 1 if something did."""
    topics = {role: _full_name(getattr(args, role)) for role in ("image", "mask", "camera_info", "depth")}
    options = Options(
        weights=args.weights,
        device=args.device,
        dtype=args.dtype,
        clip=None if args.quick else lambda: synthetic_source(_CLIP, frames=_FRAMES),
        wanted=Wanted(**topics),
        listen_s=args.listen,
    )
    findings: list[Finding] = []
    for finding in examine(options):
        findings.append(finding)
        if not args.json:
            _say(*finding.lines())
    _say(*([report_json(findings, __version__)] if args.json else page_lines(findings)))
    return FAILED if any(finding.state is State.FAIL for finding in findings) else OK


def _full_name(topic: str | None) -> str | None:
    return topic if topic is None or topic.startswith("/") else f"/{topic}"


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
