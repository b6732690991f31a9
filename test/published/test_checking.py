"""What is told about a folder of weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attnchain_ros.backbone import default_weights, load_backbone
from attnchain_ros.backbone.transformer import TransformerSizes
from attnchain_ros.backbone.weights import SCHEDULER_FILE, STAGE_ONE_FILE, VAE_FILE
from attnchain_ros.errors import ConfigError, FileFormatError, WeightsError
from attnchain_ros.published.checking import CheckOptions, FolderReport, check
from attnchain_ros.published.fetching import UNFINISHED, FetchOptions, fetch
from attnchain_ros.published.manifest import Manifest, read_manifest
from attnchain_ros.published.needs import Elements, FreeMemory, _system_memory, device_memory, memory_needed
from attnchain_ros.published.states import State

GB = 1_000_000_000
LARGE = CheckOptions(device="cpu", memory=lambda device: FreeMemory("a device", 20 * GB, 24 * GB))


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A whole checkpoint."""
    return Path(shutil.copytree(published, tmp_path / "weights"))


def one(folder: Path, manifest: Manifest, options: CheckOptions = LARGE) -> FolderReport:
    """The only report."""
    (report,) = check(folder, manifest, options)
    return report


def states(report: FolderReport, state: State) -> list[str]:
    """The files in one state."""
    return [found.file.path for found in report.files if found.state is state]


def test_a_whole_folder_would_run(folder: Path, manifest: Manifest) -> None:
    read: list[int] = []
    (report,) = check(folder, manifest, LARGE, read.append)
    assert report.would_run and report.precision == "float32" and not report.problem
    assert len(states(report, State.WHOLE)) == 11 and sum(read) == manifest.size
    text = "\n".join(report.lines())
    assert (
        text.count("\n  whole ") == 11 and "a device has 20.0 GB free of 24.0 GB" in text and "would run: yes" in text
    )
    backbone = load_backbone(folder, "cpu")
    networks = backbone.vae, backbone.stage_zero, backbone.stage_one, backbone.encoder_zero.model
    counted = [sum(weight.numel() for weight in network.state_dict().values()) for network in networks]
    assert report.networks is not None and report.networks.elements == Elements(*counted)


def test_what_is_missing_damaged_or_changed_is_told(folder: Path, manifest: Manifest) -> None:
    (folder / SCHEDULER_FILE).unlink()
    vae = (folder / VAE_FILE).read_bytes()
    (folder / VAE_FILE).write_bytes(vae[:-100])
    flipped = bytearray((folder / STAGE_ONE_FILE).read_bytes())
    flipped[-1] ^= 1
    (folder / STAGE_ONE_FILE).write_bytes(flipped)
    report = one(folder, manifest)
    assert states(report, State.MISSING) == [SCHEDULER_FILE] and states(report, State.DAMAGED) == [VAE_FILE]
    assert states(report, State.OTHER) == [STAGE_ONE_FILE] and len(states(report, State.WHOLE)) == 8
    text = "\n".join(report.lines())
    assert "would run: no, " in text and "is no readable safetensors file" in text and "cannot be read" in text
    assert "the right size, but another SHA-256: damaged or changed" in text and not report.would_run
    (folder / VAE_FILE).write_bytes(vae)
    report = one(folder, manifest)
    assert report.problem.startswith(f"{folder / SCHEDULER_FILE} is missing")
    quick = one(folder, manifest, replace(LARGE, hashed=False))
    assert states(quick, State.OTHER) == [], "a flipped bit is found by its SHA-256 alone"


@pytest.mark.parametrize("change", ["key", "shape", "encoder", "processor"])
def test_a_folder_that_would_not_load_is_refused_with_the_reason_of_loading(
    folder: Path, manifest: Manifest, change: str
) -> None:
    if change in ("key", "shape"):
        tensors = load_file(folder / STAGE_ONE_FILE)
        name = next(iter(tensors))
        tensors["unknown" if change == "key" else name] = tensors.pop(name)[..., None].clone()
        save_file(tensors, folder / STAGE_ONE_FILE)
    elif change == "encoder":
        (folder / "TripoSG/image_encoder_dinov2/config.json").write_text("{}")
    else:
        (folder / "TripoSG/feature_extractor_dinov2/preprocessor_config.json").write_text("{}")
    report = one(folder, manifest)
    with pytest.raises(WeightsError) as told:
        load_backbone(folder, "cpu")
    assert not report.would_run and report.problem == str(told.value)


def test_a_folder_of_the_other_programs_own_download_works(folder: Path, manifest: Manifest) -> None:
    """ActionMesh fetches to ``pretrained_weights/``: TripoSG, ActionMesh (with Stage II), dinov2 and RMBG."""
    shutil.copytree(folder / "TripoSG/image_encoder_dinov2", folder / "dinov2")
    shutil.copy(folder / "TripoSG/feature_extractor_dinov2/preprocessor_config.json", folder / "dinov2")
    (folder / "dinov2/pytorch_model.bin").write_bytes(b"a pickle")
    for name in ("RMBG", "ActionMesh/autoencoder", "TripoSG/.cache/huggingface/download"):
        (folder / name).mkdir(parents=True)
    (folder / "RMBG/model.safetensors").write_bytes(b"not read")
    report = one(folder, manifest)
    assert report.would_run and "dinov2/: the same as TripoSG's image encoder: loaded once" in report.notes
    backbone = load_backbone(folder, "cpu")
    assert backbone.encoder_zero is backbone.encoder_one
    before = report.networks
    tensors = load_file(folder / "dinov2/model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / "dinov2/model.safetensors")
    report = one(folder, manifest)
    assert "dinov2/: another image encoder: used for Stage I" in report.notes
    assert report.networks is not None and before is not None
    assert report.networks.elements.encoders == 2 * before.elements.encoders


def test_copies_are_reported_with_their_precision(manifest: Manifest, options: FetchOptions, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    copy = fetch(manifest, folder, replace(options, precision="bfloat16"))
    reports = check(folder, manifest, LARGE)
    assert [report.precision for report in reports] == ["float32", "bfloat16"] and reports[1].folder == copy
    assert all(report.would_run and len(states(report, State.WHOLE)) == 11 for report in reports)
    flipped = bytearray((copy / VAE_FILE).read_bytes())
    flipped[-1] ^= 1
    (copy / VAE_FILE).write_bytes(flipped)
    assert states(one(copy, manifest), State.OTHER) == [VAE_FILE], "a copy has a list of its own"
    shutil.rmtree(folder / "TripoSG")
    shutil.rmtree(folder / "ActionMesh")
    assert one(folder, manifest).folder == copy, "of a folder that holds nothing but a copy"


def test_a_broken_off_fetch_and_another_checkpoint_are_seen(folder: Path, manifest: Manifest) -> None:
    (folder / UNFINISHED).mkdir()
    (folder / UNFINISHED / "abc.part").write_bytes(b"x")
    assert any("a fetch was broken off" in note for note in one(folder, manifest).notes)
    small = one(default_weights(), read_manifest())
    assert small.would_run and any("none of these is a published file" in note for note in small.notes)
    with pytest.raises(FileFormatError, match="there is no folder"):
        check(folder / "no", manifest)
    with pytest.raises(ConfigError, match="unknown device"):
        check(folder, manifest, replace(LARGE, device="tpu9"))


def test_the_published_size_is_told_card_by_card() -> None:
    """The counted peaks in bfloat16 are 8.1 GB by default and 6.2 GB with low_memory."""
    elements = Elements(242_671_367, 1_439_570_026, 1_439_570_250, 304_380_722)
    sizes = TransformerSizes(2048, 16, 21, 64, 1024, tuple(range(21)), 16, 2048)
    needs = memory_needed(elements, sizes, 256, torch.bfloat16, gpu=True)
    assert 8.0 * GB < needs.usual < 8.6 * GB and 6.1 * GB < needs.least < 6.7 * GB
    on_cpu = memory_needed(elements, sizes, 256, torch.float32, gpu=False)
    assert on_cpu.usual == on_cpu.least > elements.together * 4


@pytest.mark.parametrize(
    ("free", "told"),
    [
        (1.2, "would run: yes"),
        (0.0, "would run: no, there is too little memory: free some, use a larger device, or compute with --dtype"),
    ],
)
def test_the_verdict_follows_the_memory(folder: Path, manifest: Manifest, free: float, told: str) -> None:
    report = one(folder, manifest)
    assert report.networks is not None
    bytes_free = int(free * report.networks.needs.usual)
    report = one(folder, manifest, replace(LARGE, memory=lambda device: FreeMemory("it", bytes_free, 24 * GB)))
    assert report.would_run == (free > 1) and told in report.lines()[-1]


def test_memory_of_this_machine() -> None:
    here = device_memory(torch.device("cpu"))
    assert 0 < here.free <= here.total < 1e15
    assert _system_memory("MemTotal:  2000 kB\nMemFree: 10 kB\nMemAvailable:   1000 kB\n") == (1024000, 2048000)
