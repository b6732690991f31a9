"""``--instance all``: what each object gets is what a run of it alone gives, and all stand in one scene."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from attnchain_ros.cli import main
from attnchain_ros.cli.objects import find_objects
from attnchain_ros.errors import MaskError
from attnchain_ros.files.glb import check_glb
from attnchain_ros.files.images import ClipOptions, open_frames
from attnchain_ros.lab.demo.bag import OWN_ANCHOR
from attnchain_ros.stream.objects import ALL_OBJECTS

SAME = ("animation.glb", "tracks.npz", "cameras.npz")
"""What holds no times of the computation."""
SIZE = (40, 64)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images with two discs, whose masks hold the ids 5 and 9; 9 is there from the third image on."""
    folder = tmp_path_factory.mktemp("two") / "clip"
    (folder / "masks").mkdir(parents=True)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for number in range(7):
        ids = np.zeros(SIZE, np.uint8)
        ids[(x - 16 - number) ** 2 + (y - 20) ** 2 < 100] = 5
        if number > 1:
            ids[(x - 50) ** 2 + (y - 18 - number) ** 2 < 80] = 9
        image = np.dstack([60 + 3 * x, 90 + 2 * y, 40 + 20 * ids]).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), ids)
    return folder


@pytest.fixture
def words(tiny_folder: Path, anchor_file: Path, quick: list[str]) -> list[str]:
    return ["--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick]


@pytest.mark.slow
def test_run_gives_each_object_what_it_gets_alone_and_one_scene(
    two: Path, words: list[str], tmp_path: Path, capsys: Any
) -> None:
    assert main(["run", str(two), "--instance", "all", "--out", str(tmp_path / "all"), *words]) == 0
    said = capsys.readouterr().out
    assert "2 objects, ids 5, 9" in said and said.count("wrote animation.glb") == 2
    for one in (5, 9):
        alone = tmp_path / f"alone_{one}"
        assert main(["run", str(two), "--instance", str(one), "--out", str(alone), *words]) == 0
        for name in SAME:
            assert (alone / name).read_bytes() == (tmp_path / "all" / f"object_{one}" / name).read_bytes(), name
    summary = json.loads((tmp_path / "all" / "object_9" / "summary.json").read_text())
    assert summary["frames"] == 5 and any("empty mask" in note for note in summary["notes"])
    if "note: object" in said:  # random weights need not find a pose
        assert "not one of its frames has a camera pose" in said
    else:
        document = check_glb(tmp_path / "all" / "objects.glb")
        assert [node["name"] for node in document["nodes"]] == ["object_5", "object_9"]


@pytest.mark.slow
def test_replay_gives_each_object_a_bag_of_its_own(tiny_folder: Path, quick: list[str], tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    assert main(["demo", "--bag", str(bag), "--objects", "2", "--frames", "7"]) == 0
    words = ["--weights", str(tiny_folder), "--device", "cpu", "--anchor", str(bag / OWN_ANCHOR), *quick]
    assert main(["replay", str(bag), "--instance", "all", "--out", str(tmp_path / "all"), *words]) == 0
    own = str(bag / OWN_ANCHOR).replace("{id}", "2")
    alone = [*words[:4], "--anchor", own, *quick, "--instance", "2", "--object-id", "2"]
    assert main(["replay", str(bag), "--out", str(tmp_path / "2"), *alone]) == 0
    for name in (*SAME, "results_bag/results_bag.mcap"):
        assert (tmp_path / "2" / name).read_bytes() == (tmp_path / "all" / "object_2" / name).read_bytes()
    assert (tmp_path / "all" / "object_1" / "results_bag").is_dir()


def test_one_that_fails_does_not_stop_the_others(
    two: Path, tiny_folder: Path, anchor_file: Path, quick: list[str], tmp_path: Path, capsys: Any
) -> None:
    anchors = tmp_path / "mesh_{id}.ply"
    (tmp_path / "mesh_9.ply").write_bytes(anchor_file.read_bytes())
    words = ["--weights", str(tiny_folder), "--device", "cpu", "--anchor", str(anchors), *quick]
    assert main(["run", str(two), "--instance", "all", "--out", str(tmp_path / "out"), *words]) == 2
    said = capsys.readouterr()
    assert "object 5 failed" in said.out and "mesh_5.ply" in said.err
    assert (tmp_path / "out" / "object_9" / "animation.glb").is_file()
    assert not (tmp_path / "out" / "object_5").exists(), "nothing half-written"


def test_ids_are_found_and_what_holds_none_is_refused(two: Path, clip_folder: Path, tmp_path: Path) -> None:
    assert find_objects(open_frames(two, ClipOptions(instance=ALL_OBJECTS))) == [5, 9]
    masks = ClipOptions(masks=two / "masks", instance=ALL_OBJECTS)
    assert find_objects(open_frames(two, masks)) == [5, 9]
    with pytest.raises(MaskError, match="has no masks that hold ids"):
        find_objects(open_frames(clip_folder, ClipOptions(instance=ALL_OBJECTS)))
    shades = np.repeat(np.arange(0, 256, 2, dtype=np.uint8), 4)[None].repeat(16, axis=0)
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((*shades.shape, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "masks" / "0.png"), shades)
    with pytest.raises(MaskError, match="more than 64 values: shades of a soft edge are no ids"):
        find_objects(open_frames(tmp_path, ClipOptions(instance=ALL_OBJECTS)))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "synthetic:3", "--instance", "all", "--out", "{out}"], "synthetic:3 holds one object"),
        (["run", "{two}", "--instance", "both", "--out", "{out}"], "'both' is no number, and not all"),
        (["run", "{two}", "--instance", "-2", "--out", "{out}"], "wanted 0 to 65535, or all"),
        (["fake-camera", "{two}", "--instance", "all"], "--instance all is for run and replay"),
        (["demo", "--objects", "2"], "--objects 2 is for --bag"),
        (["demo", "--objects", "2", "--bag", "{out}", "--camera", "orbit"], "with a camera that stands still"),
    ],
)
def test_arguments(words: list[str], told: str, two: Path, tmp_path: Path, capsys: Any) -> None:
    assert main([word.format(two=two, out=tmp_path / "out") for word in words]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()
