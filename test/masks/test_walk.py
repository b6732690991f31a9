"""From the hub to an animated object: fetch the model, point at something, get masks and a result that uses them."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from cli.test_replay import record
from hub_server import HubServer
from safetensors.torch import load_file, save_file

from attnchain_ros.cli import main
from attnchain_ros.masks import masks_weights, read_prompt
from attnchain_ros.masks.places import FOLDER, PUBLISHED

REVISION = "c" * 40
FILES = ("config.json", "model.safetensors")


@pytest.fixture
def hub(sam_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub that has the tiny model under the published one's name, its list, and a folder to work in."""
    files = {f"{PUBLISHED}/{name}": (sam_folder / name).read_bytes() for name in FILES}
    entries = [
        {
            "repo": PUBLISHED, "revision": REVISION, "folder": FOLDER, "file": name,
            "size": len(files[f"{PUBLISHED}/{name}"]),
            "sha256": hashlib.sha256(files[f"{PUBLISHED}/{name}"]).hexdigest(),
        }
        for name in FILES
    ]  # fmt: skip
    listed = {"licences": [{"of": PUBLISHED, "name": "Test Licence", "terms": "be kind"}], "files": entries}
    (tmp_path / "masks.json").write_text(json.dumps(listed))
    monkeypatch.setattr("attnchain_ros.published.manifest.masks_manifest", lambda: tmp_path / "masks.json")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.chdir(tmp_path)
    with HubServer(files, REVISION).running() as server:
        template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


@pytest.fixture
def sure(sam_folder: Path, tmp_path: Path) -> Path:
    """Weights changed so that objects are held to be in sight: random ones mostly lose them."""
    folder = Path(shutil.copytree(sam_folder, tmp_path / "sure"))
    tensors = load_file(folder / "model.safetensors")
    tensors["mask_decoder.pred_obj_score_head.proj_out.bias"] += 100.0
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def fetch(*words: str) -> int:
    return main(["weights", "fetch", "--masks", "--accept-licences", *words])


def test_fetched_checked_and_found_without_a_word(
    hub: HubServer, sam_folder: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["masks", str(clip_folder), "--point", "18,20", "--out", "found"]) == 1
    assert f"weights/{FOLDER}/config.json is missing: 'attnchain weights fetch --masks" in capsys.readouterr().err
    assert fetch() == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert f"{PUBLISHED}: Test Licence (be kind)" in told and "fetching 2 of 2 files" in told
    assert told.splitlines()[-1].startswith(f"done: use it with --masks-weights weights/{FOLDER} (found by itself")
    assert all(
        (tmp_path / "weights" / FOLDER / name).read_bytes() == (sam_folder / name).read_bytes() for name in FILES
    )
    for folder, alone in (("weights", False), (f"weights/{FOLDER}", True)):
        assert main(["weights", "check", folder, "--device", "cpu"]) == (0 if alone else 1)
        told = capsys.readouterr().out
        assert "whole    model.safetensors" in told and "masks from a click: yes" in told
        assert ("ActionMesh" in told) is not alone
    assert main(["masks", str(clip_folder), "--point", "18,20", "--out", "found", "--device", "cpu"]) == 0
    assert len(list((tmp_path / "found").iterdir())) == 7
    (tmp_path / "weights" / FOLDER / "model.safetensors").write_bytes(b"")
    assert main(["weights", "check", f"weights/{FOLDER}"]) == 1
    assert "attnchain weights fetch --masks' brings what is missing" in capsys.readouterr().out


def test_other_bytes_than_promised_are_refused(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.lying = True
    assert fetch("--to", "place") == 1
    assert f"{FOLDER}/config.json has the SHA-256" in capsys.readouterr().err
    hub.lying = False
    hub.files[f"{PUBLISHED}/model.safetensors"] += b"more"  # the hub's own metadata names another file
    assert fetch("--to", "place") == 1
    assert "is not the file that is wanted" in capsys.readouterr().err
    assert not (tmp_path / "place" / FOLDER / "model.safetensors").exists()
    assert main(["weights", "fetch", "--masks", "--dtype", "bfloat16"]) == 2
    assert "--dtype bfloat16 is not for --masks" in capsys.readouterr().err


def test_the_weights_are_found_in_and_beside_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    default = Path("weights") / FOLDER
    assert masks_weights(None) == masks_weights("", "") == masks_weights(None, tmp_path / "other") == default
    for place in (tmp_path / "all" / FOLDER, tmp_path / "all" / "bfloat16" / FOLDER):
        place.mkdir(parents=True)
        (place / "config.json").touch()
        assert masks_weights(None, tmp_path / "all" / "bfloat16") == place
    assert masks_weights("mine", tmp_path / "all") == Path("mine")


def test_without_transformers_the_extra_is_named(
    sam_folder: Path, clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    words = ["--point", "18,20", "--masks-weights", str(sam_folder), "--device", "cpu"]
    for verb in ("masks", "run"):
        assert main([verb, str(clip_folder), "--out", str(tmp_path / verb), *words]) == 1
        assert "pip install 'attnchain_ros[masks]'" in capsys.readouterr().err
        assert not (tmp_path / verb).exists()


def test_a_run_from_a_click_uses_the_masks_of_the_model_and_keeps_them(
    sam_folder: Path,
    clip_folder: Path,
    tiny_folder: Path,
    anchor_file: Path,
    quick: list[str],
    tmp_path: Path,
    capsys: Any,
) -> None:
    """Masks of random weights are no object's, but the run must have them, and no others."""
    from attnchain_ros.files.images import open_frames
    from attnchain_ros.masks.tracker import load_tracker
    from attnchain_ros.stream.frame import Frame

    images = [event.image for event in open_frames(clip_folder).events() if isinstance(event, Frame)]
    tracker = load_tracker(sam_folder, torch.device("cpu"), torch.float32)
    prompt = read_prompt(["18,20", "20,22"], ["2,2"], "8,10,20,20")
    wanted = [tracker.follow(image) if number else tracker.start(image, prompt) for number, image in enumerate(images)]
    words = ["--point", "18,20", "--point", "20,22", "--not-point", "2,2", "--box", "8,10,20,20", "--keep-masks"]
    given = ["--masks-weights", str(sam_folder), "--weights", str(tiny_folder), "--anchor", str(anchor_file)]
    out = tmp_path / "out"
    code = main(["run", str(clip_folder), "--out", str(out), "--device", "cpu", *given, *words, *quick])
    said = capsys.readouterr()
    assert code == 0, said.err
    kept = [cv2.imread(str(out / "masks" / f"{number}.png"), cv2.IMREAD_UNCHANGED) > 0 for number in range(7)]
    assert np.array_equal(kept, [one.mask for one in wanted]) and any(mask.any() for mask in kept)
    summary = json.loads((out / "summary.json").read_text())
    seen = sum(bool(one.mask.any()) for one in wanted)
    assert summary["frames"] == seen and f"masks by SAM 2: 7 images, the object seen in {seen}" in said.out
    assert any("own masks are not used" in note for note in summary["notes"])


@pytest.mark.parametrize("keep", [True, False])
def test_a_run_from_several_clicks_gives_each_object_what_its_masks_give(
    keep: bool,
    sure: Path,
    clip_folder: Path,
    tiny_folder: Path,
    anchor_file: Path,
    quick: list[str],
    tmp_path: Path,
    capsys: Any,
) -> None:
    """The same bytes as with the masks that ``attnchain masks`` writes."""
    points = ["--point", "18,20", "--box", "30,2,10,10", "--instance", "all", "--masks-weights", str(sure)]
    masks = tmp_path / "found"
    sam = ["--model" if word == "--masks-weights" else word for word in points]
    assert main(["masks", str(clip_folder), "--out", str(masks), "--device", "cpu", *sam]) == 0
    ids = np.unique([cv2.imread(str(masks / f"{number}.png"), cv2.IMREAD_UNCHANGED) for number in range(7)])
    assert ids.tolist() == [0, 1, 2]
    given = ["--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick]
    ours, other = tmp_path / "ours", tmp_path / "other"
    more = ["--keep-masks"] if keep else []
    codes = (
        main(["run", str(clip_folder), "--out", str(ours), *points, *more, *given]),
        main(["run", str(clip_folder), "--out", str(other), "--masks", str(masks), "--instance", "all", *given]),
    )
    assert codes[0] == codes[1]
    said = capsys.readouterr()
    assert "object 1, masks by SAM 2: 7 images" in said.out and "2 objects, ids 1, 2" in said.out
    wrote = sorted(path.relative_to(other) for path in other.rglob("*") if path.name in ("animation.glb", "tracks.npz"))
    assert wrote, said.err
    assert all((ours / path).read_bytes() == (other / path).read_bytes() for path in wrote)
    assert (ours / "masks").exists() is keep


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--point", "5"], "--point is '5', wanted 2 numbers"),
        (["--foreground", "sam2"], "say which object is meant: --point X,Y"),
        (["--not-point", "5,5"], "say which object is meant: --point X,Y"),
        (["--point", "5,5", "--masks", "somewhere"], "leave out one of them"),
        (["--keep-masks"], "--keep-masks is for masks that are made"),
        (["--point", "5,5", "--first-mask", "no.png"], "no.png"),
        (["--box", "1,2,3,4.5"], "--box is '1,2,3,4.5'"),
        (["--point", "500,20"], "the point 500,20 is outside the image: x goes to 47, y to 39"),
    ],
)
def test_bad_prompts_of_a_run_write_nothing(
    words: list[str], told: str, sam_folder: Path, clip_folder: Path, tiny_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out"
    given = ["--masks-weights", str(sam_folder), "--weights", str(tiny_folder), "--device", "cpu", *words]
    assert main(["run", str(clip_folder), "--out", str(out), *given]) == 2
    assert told in capsys.readouterr().err and not out.exists()


def test_a_bag_is_replayed_from_a_box(
    sure: Path,
    clip_folder: Path,
    tiny_folder: Path,
    anchor_file: Path,
    quick: list[str],
    tmp_path: Path,
    capsys: Any,
) -> None:
    bag, out = record(tmp_path / "bag", clip_folder, [10**9]), tmp_path / "out"
    given = ["--masks-weights", str(sure), "--weights", str(tiny_folder), "--anchor", str(anchor_file)]
    words = ["--foreground", "sam2", "--box", "8,10,20,20", "--keep-masks", "--device", "cpu"]
    assert main(["replay", str(bag), "--out", str(out), *given, *words, *quick]) == 0, capsys.readouterr().err
    assert len(list((out / "masks").iterdir())) == 4 and (out / "results_bag").is_dir()
    assert "masks by SAM 2: 4 images" in capsys.readouterr().out
    notes = json.loads((out / "summary.json").read_text())["notes"]
    assert not any("GrabCut" in note for note in notes)
    each = ["--instance", "all", "--point", "18,20", "--box", "30,2,10,10", "--device", "cpu"]
    main(["replay", str(bag), "--out", str(tmp_path / "all"), *given, *each, *quick])
    said = capsys.readouterr()
    assert "2 objects, ids 1, 2" in said.out, said.err
    assert all((tmp_path / "all" / f"object_{one}" / "results_bag").is_dir() for one in (1, 2)), said.err


def test_an_object_that_is_in_no_image_leaves_nothing_behind(
    sam_folder: Path, clip_folder: Path, tiny_folder: Path, tmp_path: Path, capsys: Any
) -> None:
    blind = shutil.copytree(sam_folder, tmp_path / "blind")
    tensors = load_file(blind / "model.safetensors")
    tensors["mask_decoder.pred_obj_score_head.proj_out.bias"] -= 100.0
    save_file(tensors, blind / "model.safetensors", {"format": "pt"})
    given = ["--masks-weights", str(blind), "--point", "18,20", "--device", "cpu"]
    for verb, more in (("masks", []), ("run", ["--weights", str(tiny_folder), "--keep-masks"])):
        out = tmp_path / verb
        assert main([verb, str(clip_folder), "--out", str(out), *given, *more]) == 2
        assert "the object was found in none of 7 images" in capsys.readouterr().err and not out.exists()
