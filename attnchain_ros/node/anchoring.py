"""Another anchor mesh for the running node: what was asked for, read and checked at once, prepared beside the windows.

ROS-free. Reading and checking takes milliseconds and is answered; landmarks and skinning weights take 0.3 ms a vertex
and are made in a thread of their own, while windows go on with the old anchor. Whatever fails, the old anchor stays.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..camera.poses import rotation_from_degrees
from ..config import RolloutConfig, replace
from ..errors import AttnChainError, FileFormatError, InputError
from ..files.atomic import inside
from ..files.glb import load_glb
from ..files.meshes import read_mesh
from ..mesh.anchor import AnchorFacts, LaidAnchor, anchor_facts, lay_anchor
from ..mesh.types import Mesh

if TYPE_CHECKING:
    # It would import torch, for which the node does not wait when it starts.
    from ..rollout.state import Anchor

_LOG = logging.getLogger(__name__)
SENT = "the GLB that was sent"
FOLDER = "anchor folder"


@dataclass(frozen=True)
class AnchorWish:
    """A request as it came; exactly one of the first three is given.

    Attributes:
        path: below the allowed folder, "" = not given.
        glb: bytes of a whole GLB, empty = not given.
        generated: from the next first image.
        rotation_deg: three angles, "" = the option's.
        size_m: longest side in metres, 0 = the option's.
        object_id: whose it is, 0 = the only object's.
    """

    path: str = ""
    glb: bytes = b""
    generated: bool = False
    rotation_deg: str = ""
    size_m: float = 0.0
    object_id: int = 0


@dataclass(frozen=True)
class NewAnchor:
    """What the next chain of windows is to begin with.

    Attributes:
        anchor: ready for the rollout; None = generated.
        size_m: longest side of the object in metres, 0 = the option's.
        object_id: whose it is, 0 = the only object's.
    """

    anchor: Anchor | None
    size_m: float = 0.0
    object_id: int = 0


@dataclass(frozen=True)
class Understood:
    """A wish that can be fulfilled.

    Attributes:
        laid: the mesh in the canonical frame; None = generated.
        facts: of it.
        size_m: as in the wish.
    """

    laid: LaidAnchor | None
    facts: AnchorFacts | None
    size_m: float

    def describe(self) -> str:
        """For people."""
        size = f", {self.size_m:g} m long" if self.size_m else ""
        if self.facts is None:
            return f"the next chain's mesh is made from its first image{size}"
        return f"{self.facts.describe()}{size}; a new chain begins with it as soon as it is prepared"


def understand(wish: AnchorWish, folder: str, config: RolloutConfig) -> Understood:
    """Read and check what was asked for.

    Args:
        wish: the request.
        folder: below which paths lie; "" = paths are refused.
        config: the method's options in force.
    Raises:
        InputError: the wish, its file or its mesh cannot be used.
    """
    given = [name for name, there in (("path", wish.path), ("glb", wish.glb), ("generated", wish.generated)) if there]
    if len(given) != 1:
        raise InputError(f"{' and '.join(given) or 'none'} of path, glb and generated given, wanted exactly one")
    config.readout.check_mesh(not wish.generated)
    # The option's own limits, under its own name.
    replace(config, {"camera.object_size_m": wish.size_m})
    if wish.generated:
        if wish.rotation_deg:
            raise InputError(
                f"rotation_deg is {wish.rotation_deg!r}, but a generated mesh needs no turn: leave it empty"
            )
        return Understood(None, None, wish.size_m)
    turn = rotation_from_degrees(wish.rotation_deg or config.anchor_rotation_deg, "rotation_deg")
    mesh = read_sent(wish.glb) if wish.glb else read_below(wish.path, folder)
    laid = lay_anchor(mesh, turn, config.anchor_longest_side)
    return Understood(laid, anchor_facts(laid), wish.size_m)


def read_below(path: str, folder: str) -> Mesh:
    """Read a mesh file that lies in an allowed folder, with all that it refers to.

    Raises:
        InputError: no folder is allowed, the path or a reference leads out of it, or the file cannot be read.
    """
    if not folder:
        raise InputError("anchor_dir is not set, so that this node takes no paths: set it, or send the GLB's bytes")
    root = Path(folder).expanduser()
    place = inside(root, path, FOLDER)
    for reference in outside_references(place):
        inside(root, place.parent / reference, FOLDER)
    return read_mesh(place)


def read_sent(data: bytes) -> Mesh:
    """Read a mesh from the bytes of a GLB.

    Raises:
        InputError: no GLB, one that refers to other files, or none that can be used.
    """
    # The reader works on files. Its folder is empty but for this one, and goes with it.
    with tempfile.TemporaryDirectory(prefix="attnchain_anchor_") as folder:
        place = Path(folder) / "anchor.glb"
        place.write_bytes(data)
        try:
            load_glb(place)
            references = outside_references(place)
            if references:
                raise FileFormatError(f"{place} refers to {references[0]!r}: put everything into the one file")
            return read_mesh(place)
        except InputError as error:
            # Where it lay for a moment tells nobody anything.
            raise type(error)(str(error).replace(str(place), SENT)) from error


def outside_references(path: Path) -> list[str]:
    """Other files that a glTF file names; none for other formats, and for what is no glTF at all.

    Args:
        path: with its format's ending.
    """
    try:
        if path.suffix.lower() == ".glb":
            document = load_glb(path)[0]
        elif path.suffix.lower() == ".gltf":
            document = json.loads(path.read_text("utf-8"))
        else:
            return []
        entries = [entry for kind in ("buffers", "images") for entry in document.get(kind, [])]
        found = [str(entry["uri"]) for entry in entries if "uri" in entry]
    except (FileFormatError, OSError, ValueError, AttributeError, TypeError):
        return []  # the reader says what is wrong with it
    return [urllib.parse.unquote(uri) for uri in found if not uri.startswith("data:")]


class Anchoring:
    """Prepares one anchor at a time in a thread of its own.

    Args:
        hand_over: takes a prepared anchor; called in that thread.
        on_failure: is told why one could not be prepared.
        prepare: from a laid mesh and options to an anchor; ``rollout.anchor.finish_anchor``.
    """

    def __init__(
        self,
        hand_over: Callable[[NewAnchor], None],
        on_failure: Callable[[str], None],
        prepare: Callable[[LaidAnchor, RolloutConfig], Anchor] | None = None,
    ) -> None:
        self._hand_over = hand_over
        self._on_failure = on_failure
        self._prepare = _finish if prepare is None else prepare
        self._busy = threading.Lock()

    def take(self, wish: AnchorWish, folder: str, config: RolloutConfig) -> Understood | None:
        """Answer a wish and begin to prepare it; None: another one is being prepared.

        Args:
            wish, folder, config: as for ``understand``.
        Raises:
            InputError: it cannot be fulfilled; nothing has changed.
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            found = understand(wish, folder, config)
            args = (found, config, wish.object_id)
            threading.Thread(target=self._work, args=args, name="attnchain-anchor", daemon=True).start()
        except BaseException:
            self._busy.release()
            raise
        return found

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is being prepared; False if it did not end in time."""
        if not self._busy.acquire(timeout=timeout_s):
            return False
        self._busy.release()
        return True

    def _work(self, found: Understood, config: RolloutConfig, object_id: int) -> None:
        try:
            anchor = None if found.laid is None else self._prepare(found.laid, config)
            self._hand_over(NewAnchor(anchor, found.size_m, object_id))
        except Exception as error:
            # In a thread nobody else would hear of it; the old anchor is still in force.
            _LOG.error("an anchor could not be prepared", exc_info=not isinstance(error, AttnChainError))
            self._on_failure(f"the anchor was not changed: {type(error).__name__}: {error}")
        finally:
            self._busy.release()


def _finish(laid: LaidAnchor, config: RolloutConfig) -> Anchor:
    from ..rollout.anchor import finish_anchor

    return finish_anchor(laid, config)
