"""What lies in a folder of weights: whole, damaged, missing, in which precision, and whether it would run here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..backbone import choose_device, choose_dtype
from ..backbone import weights as layout
from ..backbone.backbone import same_encoder
from ..backbone.image_encoder import PROCESSOR_FILE, ImageEncoder, read_processor
from ..backbone.memory import SPARE
from ..errors import FileFormatError, WeightsError
from .fetching import CONVERTED_LIST, UNFINISHED, copied_files
from .manifest import Manifest, in_gigabytes
from .needs import Elements, FreeMemory, Needs, device_memory, memory_needed
from .states import FileState, State, state_of

_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
_SLOW_ON_CPU = 1_000_000_000
"""Numbers of Stage I from which on a window takes very long on a CPU."""


@dataclass(frozen=True)
class CheckOptions:
    """How to check.

    Attributes:
        hashed: read every byte and compare SHA-256; otherwise sizes and headers.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16, to compute in.
        memory: asks a device for its memory.
    """

    hashed: bool = True
    device: str = "auto"
    dtype: str = "auto"
    memory: Callable[[torch.device], FreeMemory] = device_memory


@dataclass(frozen=True)
class Networks:
    """What the headers say of a complete folder.

    Attributes:
        elements: numbers of each network.
        needs: bytes at the fullest moment, on the device that was asked for.
        device: where, and what it has.
        dtype: of the computation.
        slow: too large for a CPU, if that is the device.
    """

    elements: Elements
    needs: Needs
    device: FreeMemory
    dtype: torch.dtype
    slow: bool

    @property
    def fits(self) -> bool:
        """Whether the device's free memory is enough, with ``low_memory`` if need be."""
        return self.needs.least <= SPARE * self.device.free

    @property
    def fits_as_it_is(self) -> bool:
        """Whether it is enough without that."""
        return self.needs.usual <= SPARE * self.device.free


@dataclass(frozen=True)
class FolderReport:
    """What there is in one folder.

    Attributes:
        folder: it.
        files: the published files (or those of its own list, for a converted copy), each with its state.
        precision: of the tensors: float32, bfloat16, ..., several joined by +; empty without tensors.
        notes: what else was seen that the user should know.
        problem: why it cannot be loaded; empty if it can.
        networks: memory and device; None where it cannot be loaded.
    """

    folder: Path
    files: tuple[FileState, ...]
    precision: str
    notes: tuple[str, ...]
    problem: str
    networks: Networks | None

    @property
    def would_run(self) -> bool:
        """Whether ``--weights`` with this folder would work on this machine."""
        return self.networks is not None and self.networks.fits

    def lines(self) -> list[str]:
        """The report for people."""
        found = [str(self.folder), *_file_lines(self.files)]
        found += [f"  {note}" for note in self.notes]
        if self.precision:
            found.append(f"  precision: {self.precision}")
        if self.networks is None:
            return [*found, f"  would run: no, {self.problem}"]
        return [*found, *self._memory_lines(self.networks)]

    @staticmethod
    def _memory_lines(networks: Networks) -> list[str]:
        device, dtype = networks.device, str(networks.dtype).removeprefix("torch.")
        weights = in_gigabytes(networks.elements.together * networks.dtype.itemsize)
        usual, least = in_gigabytes(networks.needs.usual), in_gigabytes(networks.needs.least)
        low = f", {least} with low_memory" if networks.needs.least < networks.needs.usual else ""
        found = [
            f"  memory: about {usual} in {dtype}{low} (all weights are {weights}); "
            f"{device.name} has {in_gigabytes(device.free)} free of {in_gigabytes(device.total)}"
        ]
        if not networks.fits:
            less = "" if networks.dtype.itemsize == 2 else ", or compute with --dtype bfloat16"
            return [*found, f"  would run: no, there is too little memory: free some, use a larger device{less}"]
        how = "" if networks.fits_as_it_is else ", with low_memory (which 'auto' chooses by itself)"
        slow = ", but networks of this size take very long for a window on a CPU" if networks.slow else ""
        return [*found, f"  would run: yes{how}{slow}"]


def _file_lines(files: tuple[FileState, ...]) -> list[str]:
    """A line for each file."""
    width = max(len(state.file.path) for state in files)
    found = []
    for state in files:
        what = in_gigabytes(state.file.size) if state.state is State.WHOLE else ""
        kinds = "+".join(_NAMES.get(kind, kind) for kind in state.precisions)
        tail = "  ".join(text for text in (what, kinds, state.reason) if text)
        found.append(f"  {state.state.value:<8} {state.file.path:<{width}}  {tail}".rstrip())
    return found


@dataclass(frozen=True)
class MasksReport:
    """What there is of the model that makes masks from a click.

    Attributes:
        folder: that holds the files.
        files: each with its state.
        alone: the folder that was asked for holds nothing else.
    """

    folder: Path
    files: tuple[FileState, ...]
    alone: bool

    @property
    def whole(self) -> bool:
        """Whether they are the published files."""
        return all(state.state is State.WHOLE for state in self.files)

    def lines(self) -> list[str]:
        """The report for people."""
        advice = "" if self.whole else ": 'attnchain weights fetch --masks' brings what is missing"
        told = f"  masks from a click: {'yes' if self.whole else 'these are not the published files'}{advice}"
        return [str(self.folder), *_file_lines(self.files), told]


def check_masks(
    folder: Path, manifest: Manifest, options: CheckOptions, advance: Callable[[int], object] = lambda count: None
) -> MasksReport | None:
    """Look at the model that makes masks from a click, if there is one in a folder of weights, or if it is that folder.

    Args:
        folder: as for ``check``.
        manifest: the model's files.
        options: how.
        advance: is told how many bytes were read.
    """
    name = manifest.files[0].folder
    alone = folder.resolve().name == name
    place = folder if alone else folder / name
    if not place.is_dir():
        return None
    files = tuple(
        state_of(place, replace(file, folder=""), hashed=options.hashed, advance=advance) for file in manifest.files
    )
    return MasksReport(place, files, alone)


def check(
    folder: Path,
    manifest: Manifest,
    options: CheckOptions = CheckOptions(),
    advance: Callable[[int], object] = lambda count: None,
) -> list[FolderReport]:
    """Look at a checkpoint folder, and at the converted copies in it.

    Args:
        folder: in the published layout: of ``attnchain weights fetch``, of ActionMesh's own download, or any other.
        manifest: the published files.
        options: how.
        advance: is told how many bytes were read.
    Returns:
        a report of the folder, then of each copy; of the copies alone where nothing else is in the folder.
    Raises:
        FileFormatError: there is no such folder.
        ConfigError: the device or dtype cannot be had.
    """
    if not folder.is_dir():
        raise FileFormatError(f"there is no folder {folder}: give the one that holds TripoSG/ and ActionMesh/")
    copies = [path.parent for path in sorted(folder.glob(f"*/{CONVERTED_LIST}"))]
    own = copied_files(folder)
    reports = [check_one(folder, Manifest(own) if own else manifest, options, advance)]
    if copies and all(state.state is State.MISSING for state in reports[0].files):
        reports = []
    return reports + [check_one(copy, Manifest(copied_files(copy)), options, advance) for copy in copies]


def check_one(
    folder: Path, manifest: Manifest, options: CheckOptions, advance: Callable[[int], object]
) -> FolderReport:
    """Look at one checkpoint folder; see ``check``."""
    files = tuple(state_of(folder, file, hashed=options.hashed, advance=advance) for file in manifest.files)
    kinds = sorted({kind for state in files for kind in state.precisions})
    networks, problem = None, ""
    notes = _notes(folder, files)
    damaged = [state.file.path for state in files if state.state is State.DAMAGED]
    try:
        networks = _networks(folder, options)
    except WeightsError as error:
        problem = str(error)
    if damaged and networks is not None:
        networks, problem = None, f"{damaged[0]} is damaged: fetch it again"
    return FolderReport(folder, files, "+".join(_NAMES.get(kind, kind) for kind in kinds), notes, problem, networks)


def _notes(folder: Path, files: tuple[FileState, ...]) -> tuple[str, ...]:
    notes = []
    if (folder / UNFINISHED).is_dir() and any((folder / UNFINISHED).glob("*.part")):
        notes.append("a fetch was broken off: 'attnchain weights fetch' goes on where it stopped")
    own, first = folder / layout.IMAGE_ENCODER_ONE, folder / layout.IMAGE_ENCODER_ZERO
    if own.is_dir():
        try:
            same = same_encoder(first, folder / layout.PREPROCESSOR_ZERO, own)
        except WeightsError as error:
            same = False
            notes.append(f"{own.name}/: {error}")
        text = "the same as TripoSG's image encoder: loaded once" if same else "another image encoder: used for Stage I"
        notes.append(f"{own.name}/: {text}")
    others = sum(state.state is State.OTHER for state in files)
    if others == len(files):
        notes.append("none of these is a published file: another checkpoint, or another precision, in the same layout")
    return tuple(notes)


def _networks(folder: Path, options: CheckOptions) -> Networks:
    """Compare every header with its config, as loading does, and add up what they need.

    Raises:
        WeightsError: it cannot be loaded; the first reason.
    """
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    unfilled = [build(folder) for build in (layout.vae_of, layout.stage_zero_of, layout.stage_one_of)]
    encoder = layout.dino_of(folder / layout.IMAGE_ENCODER_ZERO)
    counts = [_elements(network) for network in (*unfilled, encoder)]
    scheduler = folder / layout.SCHEDULER_FILE
    layout.config_number(layout.read_json(scheduler), scheduler, "shift", 1.0)
    processor = folder / layout.PREPROCESSOR_ZERO
    images = ImageEncoder(encoder.network, read_processor(processor / PROCESSOR_FILE), processor / PROCESSOR_FILE)
    own = folder / layout.IMAGE_ENCODER_ONE
    if own.is_dir() and not same_encoder(folder / layout.IMAGE_ENCODER_ZERO, processor, own):
        counts[3] += _elements(layout.dino_of(own))
    elements = Elements(*counts)
    sizes = unfilled[2].network.sizes
    return Networks(
        elements,
        memory_needed(elements, sizes, images.grid**2, dtype, device.type == "cuda"),
        options.memory(device),
        dtype,
        device.type == "cpu" and elements.stage_one > _SLOW_ON_CPU,
    )


def _elements(unfilled: layout.Unfilled) -> int:
    """Numbers of a network's file, after its keys and shapes were compared."""
    file, _ = layout.match_keys(unfilled.network, unfilled.path, unfilled.rules)
    return file.elements
