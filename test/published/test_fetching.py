"""Fetching from a local hub: every failure is one sentence, nothing is half-written, and the next call goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hub_server import LARGE, HubServer

from attnchain_ros.backbone import load_backbone
from attnchain_ros.backbone.weights import STAGE_ONE_FILE, VAE_FILE
from attnchain_ros.errors import FetchError, FileFormatError
from attnchain_ros.published import fetching
from attnchain_ros.published.fetching import SPARE_BYTES, UNFINISHED, FetchOptions, fetch, make_plan
from attnchain_ros.published.hub import Hub
from attnchain_ros.published.manifest import Manifest, sha256_of

ONE = "facebook/ActionMesh/denoiser/model.safetensors"


def names(folder: Path) -> set[str]:
    """Every file below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def only(manifest: Manifest, path: str) -> Manifest:
    """The list with one file alone."""
    return replace(manifest, files=tuple(file for file in manifest.files if file.path == path))


def test_every_file_arrives_and_nothing_else(
    manifest: Manifest, options: FetchOptions, published: Path, tmp_path: Path, hub: HubServer
) -> None:
    lines: list[str] = []
    folder = fetch(manifest, tmp_path / "weights", options, lines.append)
    assert names(folder) == {file.path for file in manifest.files} == names(published)
    assert all((folder / name).read_bytes() == (published / name).read_bytes() for name in names(folder))
    assert lines[0].startswith("fetching 11 of 11 files") and len(lines) == 12
    assert all(request.token is None for request in hub.requests)


def test_a_second_call_asks_for_nothing(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    fetch(manifest, tmp_path / "weights", options)
    hub.sent.clear()
    (tmp_path / "weights/TripoSG/vae/config.json").unlink()
    lines: list[str] = []
    fetch(manifest, tmp_path / "weights", options, lines.append)
    assert hub.sent == ["config.json"]
    hub.requests.clear()
    fetch(manifest, tmp_path / "weights", options, lines.append)
    assert hub.requests == [] and lines[-1] == "all 11 files are there, with the right SHA-256"


def test_a_transfer_that_breaks_goes_on_by_itself(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    hub.cuts = [1000, 2000]
    one = only(manifest, STAGE_ONE_FILE)
    fetch(one, tmp_path / "weights", options)
    ranges = [request.range for request in hub.requests if request.path.startswith("/apart")]
    assert ranges == [None, "bytes=1000-", "bytes=3000-"]
    assert sha256_of(tmp_path / "weights" / STAGE_ONE_FILE) == one.files[0].sha256


def test_a_transfer_that_fails_is_resumed_by_the_next_call(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    one, folder = only(manifest, STAGE_ONE_FILE), tmp_path / "weights"
    part = folder / UNFINISHED / f"{one.files[0].sha256[:32]}.part"
    folder.joinpath(UNFINISHED).mkdir(parents=True)
    part.write_bytes(hub.files[ONE][:1500])
    hub.failing = True
    with pytest.raises(FetchError, match=r"the hub answered 503 for .*; 1500 bytes are kept, and the next call goes"):
        fetch(one, folder, options)
    assert names(folder) == {f"{UNFINISHED}/{part.name}", f"{UNFINISHED}/lock"}, "nothing under its own name"
    hub.failing = False
    hub.requests.clear()
    assert make_plan(one, folder, options).bytes_to_fetch == one.files[0].size - 1500
    lines: list[str] = []
    fetch(one, folder, options, lines.append)
    assert {request.range for request in hub.requests if request.method == "GET"} == {"bytes=1500-"}
    assert "going on after 1500 bytes" in lines[1]
    assert sha256_of(folder / STAGE_ONE_FILE) == one.files[0].sha256 and names(folder) == {STAGE_ONE_FILE}


def test_a_server_without_ranges_starts_over(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    hub.cuts, hub.no_ranges = [1000], True
    one = only(manifest, STAGE_ONE_FILE)
    fetch(one, tmp_path / "weights", options)
    assert sha256_of(tmp_path / "weights" / STAGE_ONE_FILE) == one.files[0].sha256


def test_a_damaged_unfinished_file_is_fetched_from_its_start(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    one, folder = only(manifest, STAGE_ONE_FILE), tmp_path / "weights"
    folder.joinpath(UNFINISHED).mkdir(parents=True)
    (folder / UNFINISHED / f"{one.files[0].sha256[:32]}.part").write_bytes(b"x" * 1500)
    lines: list[str] = []
    fetch(one, folder, options, lines.append)
    assert "the unfinished file was damaged" in lines[2]
    assert sha256_of(folder / STAGE_ONE_FILE) == one.files[0].sha256


@pytest.mark.parametrize("large", [True, False])
def test_other_bytes_than_promised_are_thrown_away(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path, large: bool
) -> None:
    path = STAGE_ONE_FILE if large else "TripoSG/scheduler/scheduler_config.json"
    one = only(manifest, path)
    assert (one.files[0].size >= LARGE) == large
    hub.lying = True
    with pytest.raises(FetchError, match=r"has the SHA-256 .*, wanted .*: it was thrown away; call this again"):
        fetch(one, tmp_path / "weights", options)
    assert not (tmp_path / "weights").exists()


def test_another_file_is_refused_before_its_bytes_are_fetched(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    hub.files[ONE] = bytes(byte ^ 1 for byte in hub.files[ONE])
    with pytest.raises(FetchError, match=r"is not the file that is wanted .*: it was not fetched"):
        fetch(only(manifest, STAGE_ONE_FILE), tmp_path / "weights", options)
    hub.files[ONE], hub.honest = hub.files[ONE][:-1], False
    with pytest.raises(FetchError, match="is not the file that is wanted"):
        fetch(only(manifest, STAGE_ONE_FILE), tmp_path / "weights", options)
    assert hub.sent == [] and not (tmp_path / "weights").exists()


def test_room_is_asked_for_before_anything_is_fetched(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = manifest.size + SPARE_BYTES
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: SimpleNamespace(free=need - 1))
    with pytest.raises(FetchError, match=r"the disk of .*weights has 269 MB free, .* are needed: make room"):
        fetch(manifest, tmp_path / "weights", options)
    assert hub.requests == [] and not (tmp_path / "weights").exists()
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: SimpleNamespace(free=need))
    fetch(manifest, tmp_path / "weights", options)


def test_a_disk_that_becomes_full_is_said_and_the_part_is_removed(
    manifest: Manifest, options: FetchOptions, tmp_path: Path
) -> None:
    one, folder = only(manifest, STAGE_ONE_FILE), tmp_path / "weights"
    folder.joinpath(UNFINISHED).mkdir(parents=True)
    part = folder / UNFINISHED / f"{one.files[0].sha256[:32]}.part"
    part.symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"the disk became full while ActionMesh/.* was fetched; .* make room for"):
        fetch(one, folder, options)
    assert names(folder) == set() and not part.is_symlink()


def test_a_gated_repository_asks_for_a_token_and_takes_it(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = {"facebook/ActionMesh"}
    one = only(manifest, STAGE_ONE_FILE)
    with pytest.raises(FetchError, match=r"facebook/ActionMesh is gated: accept its terms on http://.*HF_TOKEN"):
        fetch(one, tmp_path / "weights", options)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(FetchError, match="facebook/ActionMesh is gated"):
        fetch(one, tmp_path / "weights", options)
    monkeypatch.setenv("HF_TOKEN", "secret")
    fetch(one, tmp_path / "weights", options)
    tokens = {request.path.split("/")[1]: request.token for request in hub.requests[-2:]}
    assert tokens == {"facebook": "Bearer secret", "apart": None}, "the hub's storage is not given the token"


def _gone(hub: HubServer) -> None:
    hub.files = {"facebook/ActionMesh/other": b""}


def _moved(hub: HubServer) -> None:
    hub.revision = "f" * 40


def _hidden(hub: HubServer) -> None:
    hub.files = {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_gone, "the hub has no facebook/ActionMesh/denoiser/model.safetensors at revision 0123456789ab"),
        (_moved, "the hub has no facebook/ActionMesh/denoiser/model.safetensors at revision 0123456789ab"),
        (_hidden, "the hub shows no repository facebook/ActionMesh: if it asks for a login"),
    ],
)
def test_files_that_are_not_there_are_named(
    change: Callable[[HubServer], None],
    told: str,
    manifest: Manifest,
    options: FetchOptions,
    hub: HubServer,
    tmp_path: Path,
) -> None:
    change(hub)
    with pytest.raises(FetchError, match=told):
        fetch(only(manifest, STAGE_ONE_FILE), tmp_path / "weights", options)
    assert not (tmp_path / "weights").exists()


def test_no_network_is_said(manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = FetchOptions(hub=Hub("http://127.0.0.1:9"))
    with pytest.raises(FetchError, match=r"no connection to http://127.0.0.1:9/VAST-AI/TripoSG .*is the network there"):
        fetch(manifest, tmp_path / "weights", nobody)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set"):
        fetch(manifest, tmp_path / "weights", nobody)
    assert not (tmp_path / "weights").exists()


def test_files_of_the_user_are_not_overwritten(
    manifest: Manifest, options: FetchOptions, hub: HubServer, published: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(published, tmp_path / "weights"))
    own = (published / VAE_FILE).read_bytes()[:-1] + b"\xff"
    (folder / VAE_FILE).write_bytes(own)
    with pytest.raises(FetchError, match=r"is not the published file: the right size, but another SHA-256.*move"):
        fetch(manifest, folder, options)
    assert (folder / VAE_FILE).read_bytes() == own and hub.requests == []
    # Half a file is nothing that anybody could want to keep.
    (folder / VAE_FILE).write_bytes(own[: len(own) // 2])
    fetch(manifest, folder, options)
    assert (folder / VAE_FILE).read_bytes() == (published / VAE_FILE).read_bytes()
    with pytest.raises(FileFormatError, match="is a file, wanted a folder"):
        fetch(manifest, folder / VAE_FILE, options)


def test_two_fetches_do_not_share_a_folder(manifest: Manifest, options: FetchOptions, tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).mkdir()
    with fetching._alone(tmp_path), pytest.raises(FetchError, match="another fetch is at work"):
        fetch(manifest, tmp_path, options)


def test_the_converted_copy_is_half_as_large_and_loads_the_same(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    copy = fetch(manifest, folder, replace(options, precision="bfloat16"))
    assert copy == folder / "bfloat16"
    tensors = [file.path for file in manifest.files if file.holds_tensors]
    sizes = [sum((place / name).stat().st_size for name in tensors) for place in (folder, copy)]
    headers = sum(int.from_bytes((copy / name).read_bytes()[:8], "little") + 8 for name in tensors)
    assert sizes[1] - headers <= 0.5 * sizes[0]
    one, two = (load_backbone(place, "cpu", "bfloat16") for place in (folder, copy))
    for network in ("vae", "stage_zero", "stage_one"):
        pairs = zip(getattr(one, network).state_dict().items(), getattr(two, network).state_dict().items(), strict=True)
        for (name, first), (other, second) in pairs:
            assert name == other and first.dtype == second.dtype and torch.equal(first, second)
    hub.requests.clear()
    before = {name: (copy / name).stat().st_mtime_ns for name in tensors}
    fetch(manifest, folder, replace(options, precision="bfloat16"))
    assert hub.requests == [] and before == {name: (copy / name).stat().st_mtime_ns for name in tensors}
    (copy / VAE_FILE).write_bytes(b"half")
    fetch(manifest, folder, replace(options, precision="bfloat16"))
    assert hub.requests == [] and load_backbone(copy, "cpu").checksum == two.checksum


def test_float32_can_be_dropped_and_needs_less_room(
    manifest: Manifest, options: FetchOptions, hub: HubServer, tmp_path: Path
) -> None:
    both, half = replace(options, precision="bfloat16"), replace(options, precision="bfloat16", drop_float32=True)
    needs = [make_plan(manifest, tmp_path, one).bytes_needed for one in (options, both, half)]
    assert needs[0] == manifest.size and needs[1] > 1.45 * needs[0] and needs[2] < 0.9 * needs[0]
    copy = fetch(manifest, tmp_path / "weights", half)
    assert {path.split("/")[0] for path in names(tmp_path / "weights")} == {"bfloat16"}
    load_backbone(copy, "cpu")
    hub.requests.clear()
    fetch(manifest, tmp_path / "weights", half)
    assert hub.requests == [], "what was converted and dropped is not fetched again"


def test_a_copy_on_a_full_disk_leaves_nothing(
    manifest: Manifest, options: FetchOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path, *more: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("attnchain_ros.published.converting.convert_file", full)
    with pytest.raises(FetchError, match=r"bfloat16/.* cannot be written: No space left on device; nothing half"):
        fetch(manifest, tmp_path / "weights", replace(options, precision="bfloat16"))
    assert not list((tmp_path / "weights/bfloat16").rglob("*.safetensors"))
