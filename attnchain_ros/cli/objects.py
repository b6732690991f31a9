"""``--instance all``: every object of a clip whose masks hold ids, one after another, and all of them in one scene."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

from ..errors import AttnChainError, MaskError
from ..files.results import counted
from ..files.scene import ScenePart, write_scene
from ..stream.frame import IdImage
from ..stream.objects import id_areas, is_solid
from ..stream.source import FrameSource
from .rolling import Networks, Outcome, load_networks, say

SCENE = "objects.glb"
"""All objects, in the output folder."""
MOST_FOUND = 64
"""More ids than a segmenter gives objects: the masks have soft edges."""
RollOne = Callable[[argparse.Namespace, Networks], Outcome]


def roll_all(source: FrameSource, args: argparse.Namespace, roll_one: RollOne, networks: Networks | None = None) -> int:
    """Run one object after another, each into a folder of its own, with the networks loaded once.

    An object that fails is said and does not stop the others; its error is raised at the end.

    Args:
        source: the clip with masks as ``IdImage``.
        args: of ``add_rollout_arguments``, with ``instance``.
        roll_one: runs the object that its arguments' ``instance`` names.
        networks: as from ``load_networks``; None loads them.
    Returns:
        0, or 130 after Ctrl-C.
    Raises:
        MaskError: the masks hold no ids.   AttnChainError: an object failed.
    """
    ids = find_objects(source)
    say(f"{source.name}: {counted(len(ids), 'object')}, ids {', '.join(map(str, ids))}")
    networks = load_networks(args) if networks is None else networks
    failure: AttnChainError | None = None
    outcome = Outcome()
    parts: list[ScenePart] = []
    for one in ids:
        say(f"object {one}:")
        mine = copy.copy(args)
        mine.instance, mine.out = one, object_folder(args.out, one)
        if args.anchor is not None:
            mine.anchor = Path(str(args.anchor).replace("{id}", str(one)))
        try:
            outcome = roll_one(mine, networks)
        except AttnChainError as error:
            outcome = Outcome(failure=error)
        parts += [ScenePart(_part_name(one, place, mine.out), place) for place in outcome.folders]
        if outcome.failure is not None:
            failure = outcome.failure if failure is None else failure
            say(f"object {one} failed: {outcome.failure}")
        if outcome.interrupted:
            break
    if parts:
        left_out = write_scene(args.out / SCENE, parts)
        say(f"wrote {SCENE} to {args.out}: " + ", ".join(part.name for part in parts if part.name not in left_out))
        for name in left_out:
            say(f"note: {name} is not in {SCENE}: not one of its frames has a camera pose")
    if failure is not None:
        raise failure
    return outcome.exit_code()


def object_folder(out: Path, object_id: int) -> Path:
    """Where an object's results go."""
    return out / f"object_{object_id}"


def find_objects(source: FrameSource) -> list[int]:
    """The ids in a clip's masks, in rising order; edges and specks are none.

    Raises:
        MaskError: there are no masks with ids, no ids in them, or so many that they are shades.
    """
    found: set[int] = set()
    masks = 0
    for event in source.events():
        if isinstance(event, IdImage):
            masks += 1
            new = (one for one in id_areas(event.ids) if one not in found)
            found.update(one for one in new if is_solid(event.ids == one))
            if len(found) > MOST_FOUND:
                raise MaskError(
                    f"the masks of {source.name} hold more than {MOST_FOUND} values: shades of a soft edge are no ids; "
                    "leave out --instance all, or give masks of whole ids as PNG"
                )
    if not masks:
        raise MaskError(f"{source.name} has no masks that hold ids: give them, or leave out --instance all")
    if not found:
        raise MaskError(f"not one of the {masks} masks of {source.name} holds an object")
    return sorted(found)


def _part_name(object_id: int, place: Path, folder: Path) -> str:
    """What a chain's results are called in the scene: a later chain is a mesh of its own."""
    return f"object_{object_id}" if place == folder else f"object_{object_id} {place.name}"
