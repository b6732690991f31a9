"""Masks from what is pointed at on the command line: arguments, progress, and masks that are kept."""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ..errors import ConfigError, FileFormatError, MaskError
from ..files.atomic import folder_then_rename
from ..files.images import ImageFolder, read_ids, read_mask
from ..masks import Prompt, TrackedMask, masks_weights, read_prompt, read_prompts
from ..masks.sight import describe
from ..stream.config import MOST_OBJECTS
from ..stream.frame import Frame, IdImage
from ..stream.objects import ALL_OBJECTS, id_areas
from ..stream.prompted import PromptedObjects, PromptedSource
from ..stream.source import FrameSource

if TYPE_CHECKING:
    from ..masks.tracker import MaskTracker

KEPT = "masks"
"""Folder of kept masks inside the output folder."""


def add_prompt_arguments(parser: argparse.ArgumentParser, *, short: bool = False) -> None:
    """What is meant in the first image, and the model that follows it; the box is the verb's own.

    ``short``: also names that elsewhere would be taken for others.
    """
    mask, model = (["--mask"], ["--model"]) if short else ([], [])
    parser.add_argument(
        "--point", action="append", default=[], metavar="X,Y",
        help="a pixel on the object in the first image: SAM 2 makes the masks; may be repeated, with --instance all "
        "once for each object",
    )  # fmt: skip
    parser.add_argument(
        "--not-point", action="append", default=[], metavar="X,Y", help="a pixel that does not belong to it"
    )
    parser.add_argument(
        "--first-mask", *mask, type=Path, metavar="FILE",
        help="the object's mask in the first image; with --instance all it holds ids",
    )  # fmt: skip
    parser.add_argument(
        "--masks-weights", *model, type=Path, metavar="DIR",
        help="folder of SAM 2's video model (default: sam2.1-hiera-tiny in or beside --weights, or in ./weights)",
    )  # fmt: skip


def is_prompted(args: argparse.Namespace) -> bool:
    """Whether something was pointed at, so that SAM 2 makes the masks."""
    given = (getattr(args, "point", None), getattr(args, "not_point", None), getattr(args, "first_mask", None))
    return any(given) or getattr(args, "foreground", None) == "sam2"


def check_prompt_arguments(args: argparse.Namespace) -> None:
    """Check what can be checked before anything is loaded.

    Raises:
        ConfigError, MaskError: the prompt cannot be used.   FileFormatError: its mask cannot be read.
    """
    if not (args.point or args.box or args.first_mask):
        raise ConfigError("say which object is meant: --point X,Y (a pixel on it), --box X,Y,W,H or --first-mask FILE")
    if getattr(args, "masks", None) is not None:
        raise ConfigError("--masks says where masks are, --point and the like ask for new ones: leave out one of them")
    if args.instance == ALL_OBJECTS:
        _prompts(args)
    else:
        _prompt(args)


def _prompts(args: argparse.Namespace) -> dict[int, Prompt]:
    """Of several objects, by id."""
    if args.first_mask is not None:
        if args.point or args.box:
            raise ConfigError("--first-mask says where all objects are: leave out --point and --box")
        ids = read_ids(args.first_mask)
        found = {one: Prompt(mask=np.asarray(ids == one)) for one in sorted(id_areas(ids))}
        if not found:
            raise MaskError(f"the first mask {args.first_mask} is empty: mark each object in it by a value of its own")
    else:
        found = read_prompts(args.point, args.not_point, args.box.split(";") if args.box else ())
    if len(found) > MOST_OBJECTS:
        raise ConfigError(f"{len(found)} objects are pointed at, at most {MOST_OBJECTS} can be followed")
    return found


def _prompt(args: argparse.Namespace) -> Prompt:
    mask = None if args.first_mask is None else read_mask(args.first_mask)
    return read_prompt(args.point, args.not_point, args.box or "", mask)


@contextmanager
def prompted(
    source: FrameSource, args: argparse.Namespace, keep: Path | None, line: int = 0
) -> Iterator[PromptedSource]:
    """A clip whose masks SAM 2 makes; afterwards it is said in how many images the object was seen.

    Args:
        source: the clip.
        args: of ``add_prompt_arguments``, with a box and a device.
        keep: new folder for the masks, a PNG for every image, whole or not there at all; None = they are not kept.
        line: of the progress bar on a terminal, below other bars.
    Raises:
        WeightsError: the extra is not installed, or the model is missing.
        ConfigError, MaskError: the prompt cannot be used, or the object is in no image.
    """
    prompt = _prompt(args)
    tracker = _tracker(args)
    with ExitStack() as stack:
        folder = None if keep is None else stack.enter_context(folder_then_rename(keep, overwrite=True))
        if folder is not None:
            folder.mkdir()
        names = _names(source)
        progress = tqdm(total=source.count, desc="masks", unit="image", disable=None, leave=False, position=line)
        bar = stack.enter_context(progress)

        def on_mask(frame: Frame, found: TrackedMask) -> None:
            bar.update()
            if folder is not None:
                _write(folder / f"{next(names)}.png", found.mask.astype(np.uint8) * 255)

        clip = PromptedSource(source, tracker, prompt, on_mask)
        yield clip
    if any(clip.counts.values()):
        _say(f"masks by SAM 2: {describe(clip.counts, clip.first_gone)}")


@contextmanager
def with_masks(source: FrameSource, args: argparse.Namespace) -> Iterator[FrameSource]:
    """The clip of ``run`` and ``replay``: with masks from a prompt where one was given, else as it is."""
    if not is_prompted(args):
        yield source
        return
    with prompted(source, args, args.out / KEPT if args.keep_masks else None, line=2) as clip:
        yield clip


@contextmanager
def objects_masked(source: FrameSource, args: argparse.Namespace) -> Iterator[argparse.Namespace]:
    """Arguments of ``--instance all`` that name masks: where objects were pointed at, those that are made first."""
    if not is_prompted(args):
        yield args
        return
    with ExitStack() as stack:
        folder = args.out / KEPT
        if not args.keep_masks:
            folder = Path(stack.enter_context(TemporaryDirectory())) / KEPT
        write_ids(source, args, folder)
        mine = copy.copy(args)
        mine.masks, mine.foreground = folder, "none"
        mine.point, mine.not_point, mine.first_mask, mine.box = [], [], None, None
        yield mine


def write_ids(source: FrameSource, args: argparse.Namespace, folder: Path) -> None:
    """Follow several objects through a clip: an image of ids for each of its images, in a new folder or none at all.

    Raises:
        As for ``prompted``.
    """
    clip = PromptedObjects(source, _tracker(args), _prompts(args))
    with (
        folder_then_rename(folder, overwrite=True) as place,
        tqdm(total=source.count, desc="masks", unit="image", disable=None, leave=False) as bar,
    ):
        place.mkdir()
        names = _names(source)
        for event in clip.events():
            if isinstance(event, IdImage):
                _write(place / f"{next(names)}.png", event.ids.astype(np.uint8 if event.ids.max() < 256 else np.uint16))
                bar.update()
    for one, counts in clip.counts.items():
        _say(f"object {one}, masks by SAM 2: {describe(counts, clip.first_gone.get(one))}")


def _tracker(args: argparse.Namespace) -> MaskTracker:
    # torch takes seconds to import.
    from ..backbone import choose_device, choose_dtype
    from ..masks.tracker import load_tracker

    device = choose_device(args.device)
    place = masks_weights(args.masks_weights, getattr(args, "weights", None))
    return load_tracker(place, device, choose_dtype("auto", device))


def _write(path: Path, picture: np.ndarray) -> None:
    import cv2

    if not cv2.imwrite(str(path), picture):
        raise FileFormatError(f"{path} cannot be written")


def _names(source: FrameSource) -> Iterator[str]:
    """Names of the masks without ending: those of the images, so that they are found by name; else numbers."""
    if isinstance(source, ImageFolder):
        yield from (path.stem for path in source.files)
    number = 0
    while True:
        yield f"frame_{number:06d}"
        number += 1


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
