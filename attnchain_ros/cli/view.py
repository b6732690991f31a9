"""``attnchain view RESULTS`` and ``attnchain view --live``: results as a page in the browser."""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AttnChainError, ConfigError
from .arguments import open_source
from .main import OK

if TYPE_CHECKING:
    from ..view.footage import Footage

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument(
        "results", nargs="?", type=Path, metavar="RESULTS", help="--out folder of a run or replay, or a bag of results"
    )
    parser.add_argument("--live", action="store_true", help="what a node publishes, as it comes (needs ROS 2)")
    parser.add_argument(
        "--images", metavar="INPUT", help="clip whose images are shown (default: what the run was made from)"
    )
    parser.add_argument("--fps", type=float, help="frames per second of --images, as the run was told")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this computer alone)")
    parser.add_argument("--port", type=int, default=8080, help="the first to try (default %(default)s)")
    parser.add_argument("--object-id", type=int, metavar="ID", help="of several objects (default: the first one's)")
    parser.add_argument("--image", metavar="TOPIC", help="images of a bag, or live (default: found; live: image)")
    parser.add_argument("--camera-info", default="camera_info", metavar="TOPIC", help="live: their calibration")
    parser.add_argument("--node", default="attnchain_node", metavar="NAME", help="live: the node, with its namespace")
    parser.add_argument("--keep", type=int, default=600, metavar="N", help="live: frames kept (default %(default)s)")
    parser.add_argument(
        "--budget", type=int, default=256, metavar="MB", help="meshes that the browser keeps (default %(default)s)"
    )


def check_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is read.

    Raises:
        ConfigError: an argument cannot be used.
    """
    if args.live == (args.results is not None):
        raise ConfigError("give either the results to look at, or --live")
    if args.live and args.images is not None:
        raise ConfigError("--images is for results that lie on the disk: live they come from the topic --image")
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"--port is {args.port}, wanted 0 (any free one) to 65535")
    if args.keep < 16:
        raise ConfigError(f"--keep is {args.keep}, the least is 16 frames, a window")
    if args.budget < 1:
        raise ConfigError(f"--budget is {args.budget}, the least is 1 megabyte")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    from ..view.page import Page, PageOptions

    options = PageOptions(args.host, args.port, args.budget, args.live)
    footage, feed = _live(args) if args.live else (_recorded(args), nullcontext())
    for note in footage.notes:
        _say(f"note: {note}")
    page = Page(footage, options)
    try:
        with feed:
            _say(*invitation(*page.address))
            page.run(threading.Event())
    except KeyboardInterrupt:
        pass
    finally:
        page.close()
    return OK


def invitation(host: str, port: int) -> list[str]:
    """Where the page is, and how to get there from another computer."""
    shown = f"[{host}]" if ":" in host else host
    if host not in _LOOPBACK:
        return [
            f"http://{shown}:{port} (Ctrl-C ends it)",
            f"whoever reaches {shown} can look: there is no password",
        ]
    here = f"{getpass.getuser() if 'USER' in os.environ else 'USER'}@{socket.gethostname()}"
    return [
        f"http://{shown}:{port} (Ctrl-C ends it)",
        f"from another computer: ssh -L {port}:127.0.0.1:{port} {here}, then http://127.0.0.1:{port} there",
    ]


def _recorded(args: argparse.Namespace) -> Footage:
    """What lies on the disk."""
    from ..view.reading import ANIMATION, Choice, add_images, add_images_of_run, read_footage

    footage = read_footage(args.results, Choice(args.object_id, args.image))
    if args.images is not None:
        if not add_images(footage, open_source(args.images, args.fps)):
            raise ConfigError(f"--images {args.images}: no image has the stamp of a frame; are they of this run?")
    elif (args.results / ANIMATION).is_file():
        add_images_of_run(footage, args.results, lambda name: open_source(name, args.fps))
    return footage


def _live(args: argparse.Namespace) -> tuple[Footage, AbstractContextManager[Any]]:
    """What a node publishes."""
    from ..view.footage import Footage

    try:
        # Only here: everything else of the command line works without ROS.
        from ..node.viewing import LiveFeed
    except ImportError as error:
        raise AttnChainError(
            f"'attnchain view --live' needs ROS 2 and this package's messages: {error}; source a distribution or use "
            "scripts/setup's Python"
        ) from error
    footage = Footage(f"{args.node}, live", args.keep)
    image = args.image or "image"
    feed = LiveFeed(footage, node=args.node, image=image, camera_info=args.camera_info, object_id=args.object_id)
    return footage, feed


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"view: {line}\n" for line in lines))
    sys.stdout.flush()
