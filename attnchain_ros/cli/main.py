"""The table of verbs and the one place where errors become exit codes."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from .. import __version__
from ..errors import AttnChainError, InputError
from ..threads import asked_threads, prepare

VERBS: dict[str, tuple[str, str]] = {
    "run": ("cli.run", "animate the object of a video, a folder of images or a bag"),
    "replay": ("cli.replay", "the same for a bag, with the results in a new bag as well; without DDS"),
    "batch": ("cli.batch", "many clips, over the workers of Ray; goes on where it was stopped"),
    "fake-camera": ("cli.fake_camera", "publish a clip as a camera would (needs ROS 2)"),
    "masks": ("cli.masks", "the object's mask in every image of a clip, from a click"),
    "view": ("cli.view", "results, or a node at work, as a page in the browser"),
    "weights": ("cli.weights", "fetch the published weights, or check a folder of weights"),
    "doctor": ("cli.doctor", "one page about this machine: what works, what does not, and what to do"),
    "demo": ("lab.cli.demo", "the demonstration, end to end"),
    "evaluate": ("lab.cli.evaluate", "errors against the truth, on synthetic clips or published benchmarks"),
    "bench": ("lab.cli.bench", "what a window costs, stage by stage, on this machine and at the published size"),
    "experiments": ("lab.cli.experiments", "the paper's experiments in small, as one report"),
    "probe": ("lab.cli.probe", "rank the ways to read attention, without ground truth"),
    "parity": ("lab.cli.parity", "check a checkpoint folder against recorded inputs and outputs"),
    "train": ("lab.cli.train", "train the small demonstration checkpoint"),
}
"""Verb to module (of this package) and help line. The module is imported only when its verb is called."""

OK, FAILED, BAD_INPUT, FAULT, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 70, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: arguments without the program's name; None = ``sys.argv``.
    Returns:
        0 = done; 1 = failed; 2 = something given cannot be used; 70 = a fault of this package, with a report of it;
        130 = stopped by Ctrl-C; 141 = nobody reads what is written (``| head``).
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((word for word in words if not word.startswith("-")), None)
    debug = "--debug" in words
    try:
        prepare(asked_threads(words))  # before a verb loads torch
        module = _load(verb) if verb in VERBS else None
        parser = _parser(verb, module)
        args = parser.parse_args(words)
        with _logging(logging.DEBUG if debug else logging.INFO if args.verbose else logging.WARNING):
            if module is None:
                parser.print_help()
                return BAD_INPUT
            module.check_arguments(args)
            return int(module.run(args))
    except SystemExit as stop:  # argparse: 0 after --help, 2 after a wrong argument
        return stop.code if isinstance(stop.code, int) else FAILED
    except KeyboardInterrupt:
        sys.stderr.write("attnchain: interrupted\n")
        return INTERRUPTED
    except AttnChainError as error:
        if debug:
            raise
        return _fail(str(error), BAD_INPUT if isinstance(error, InputError) else FAILED)
    except BrokenPipeError:
        _write_nowhere()
        return BROKEN_PIPE
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", FAILED)
    except MemoryError as error:
        if debug:
            raise
        return _fail(f"{_command(words)} needs more memory than there is: {error}", FAILED)
    except Exception as error:
        if debug:
            raise
        return _fail(
            f"{_command(words)} ended with {type(error).__name__}: {error}. "
            f"This is a fault of attnchain_ros, please report it {_report(words)}",
            FAULT,
        )


def _command(words: Sequence[str]) -> str:
    """What was called, which names the input."""
    return f"'{shlex.join(['attnchain', *words])}'"


def _report(words: Sequence[str]) -> str:
    """Write the traceback of what is being handled to a file, and say where it is."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="attnchain_fault_", suffix=".txt", delete=False) as file:
            file.write(
                f"attnchain_ros {__version__}, Python {sys.version}\n{_command(words)}\n{traceback.format_exc()}"
            )
    except OSError:
        return "with what --debug shows"
    return f"with {file.name}"


def _write_nowhere() -> None:
    """Let what is still to be written to a closed pipe vanish: Python would complain about it at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # standard output is no file
        return


def _fail(reason: str, code: int) -> int:
    """One line, whatever line breaks a library put into its message."""
    sys.stderr.write(f"attnchain: error: {' '.join(reason.split())}\n")
    return code


def _load(verb: str) -> ModuleType:
    """The module of a verb.

    Raises:
        AttnChainError: it, or something it needs, cannot be imported.
    """
    name = f"{__package__.rpartition('.')[0]}.{VERBS[verb][0]}"
    try:
        return importlib.import_module(name)
    except ImportError as error:
        lab = VERBS[verb][0].startswith("lab.")
        advice = "it needs the extra: pip install 'attnchain_ros[lab]'" if lab else "are all requirements installed?"
        raise AttnChainError(f"'attnchain {verb}' cannot start: {error} ({advice})") from error


def _parser(verb: str | None, module: ModuleType | None) -> argparse.ArgumentParser:
    """All verbs by name, but arguments for the called one only, so that no other module is imported."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks and all logs")
    common.add_argument("-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help="show more log lines")
    parser = argparse.ArgumentParser(
        prog="attnchain",
        description="From a video of one moving object to an animated mesh, point tracks and camera poses.",
        parents=[common],
    )
    parser.set_defaults(debug=False, verbose=False)
    parser.add_argument("--version", action="version", version=f"attnchain_ros {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb")
    for name, (_, text) in VERBS.items():
        own = verbs.add_parser(name, help=text, description=text, parents=[common])
        if name == verb and module is not None:
            module.add_arguments(own)
    return parser


@contextmanager
def _logging(level: int) -> Iterator[None]:
    """Log lines of this package on stderr, between and not inside progress bars."""
    logger = logging.getLogger("attnchain_ros")
    handler = _BarHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _BarHandler(logging.Handler):
    """Writes above a progress bar that is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)
