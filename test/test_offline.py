"""The face of the package: what it offers, that it is lazy, and that it gives what the command line writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import attnchain_ros as ac
from attnchain_ros.cli.arguments import parse_settings
from attnchain_ros.cli.main import main
from attnchain_ros.errors import ConfigError, InputError, ShapeError, WeightsError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.files.images import open_frames
from attnchain_ros.masks.places import FOLDER
from attnchain_ros.stream.frame import Frame


@pytest.fixture(scope="module")
def options(quick: list[str]) -> dict[str, object]:
    return parse_settings(quick[1::2])


def test_the_face_is_pinned() -> None:
    assert sorted(ac.__all__) == ["Animation", "Prompt", "__version__", "animate", "animations", "load"]
    assert all(getattr(ac, name) is not None for name in ac.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'anime'"):
        _ = ac.anime


def test_importing_the_package_loads_no_networks() -> None:
    code = "import sys, attnchain_ros; print([n for n in ('torch', 'cv2', 'rclpy', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_gives_what_the_command_line_writes(
    clip_folder: Path,
    tiny_folder: Path,
    anchor_file: Path,
    quick: list[str],
    options: dict[str, object],
    tmp_path: Path,
) -> None:
    words = ["--weights", str(tiny_folder), "--anchor", str(anchor_file), "--device", "cpu", *quick]
    assert main(["run", str(clip_folder), "--out", str(tmp_path / "out"), *words]) == 0
    backbone = ac.load(tiny_folder, device="cpu")
    animation = ac.animate(clip_folder, anchor=anchor_file, backbone=backbone, options=options)
    cameras, tracks = (np.load(tmp_path / "out" / f"{name}.npz") for name in ("cameras", "tracks"))
    np.testing.assert_array_equal(animation.stamps_ns, cameras["stamps_ns"])
    np.testing.assert_array_equal(animation.points_px, tracks["points_px"])
    valid = cameras["valid"]
    np.testing.assert_array_equal(animation.camera_from_object[valid], cameras["camera_from_object"][valid])
    assert np.isnan(animation.camera_from_object[~valid]).all()
    animation.write_glb(tmp_path / "again.glb")
    assert (tmp_path / "again.glb").read_bytes() == (tmp_path / "out" / "animation.glb").read_bytes()
    written = read_animated_glb(tmp_path / "again.glb")
    np.testing.assert_allclose(animation.vertices, written.vertices, atol=1e-6)
    assert animation.vertices.shape == (7, len(animation.vertex_colors), 3) and len(animation.windows) > 1
    assert animation.notes and len(set(animation.notes)) == len(animation.notes)


def test_images_in_memory_give_the_same_as_their_folder(
    clip_folder: Path, tiny_folder: Path, anchor_file: Path, options: dict[str, object]
) -> None:
    frames = [event for event in open_frames(clip_folder).events() if isinstance(event, Frame)]
    images, masks = np.stack([frame.image for frame in frames]), np.stack([frame.mask for frame in frames])
    backbone = ac.load(tiny_folder, device="cpu")
    arguments = {"anchor": anchor_file, "backbone": backbone, "options": options}
    one, other = ac.animate(clip_folder, **arguments), ac.animate(images, masks=masks, **arguments)
    np.testing.assert_array_equal(one.vertices, other.vertices)
    ids = np.where(masks, 7, 0) + 3 * (np.arange(masks.shape[2]) < 4)  # another object at the border
    with pytest.raises(InputError, match="mask 0 holds several objects, ids 3, 7"):
        ac.animate(images[:3], masks=ids[:3], **arguments)
    third = ac.animate(images[:3], masks=ids[:3], instance=7, **arguments)
    cut = ac.animate(images[:3], masks=ids[:3] == 7, **arguments)
    np.testing.assert_array_equal(third.vertices, cut.vertices)
    stages: list[str] = []
    (only,) = ac.animations(images[:3], masks=masks[:3], progress=lambda name, *more: stages.append(name), **arguments)
    assert len(only.vertices) == 3 and stages


def test_a_prompt_gives_what_a_click_on_the_command_line_gives(
    clip_folder: Path, tiny_folder: Path, sam_folder: Path, anchor_file: Path, quick: list[str],
    options: dict[str, object], tmp_path: Path,
) -> None:  # fmt: skip
    place = shutil.copytree(tiny_folder, tmp_path / "weights")
    shutil.copytree(sam_folder, place / FOLDER)  # found there by itself
    words = ["--weights", str(place), "--anchor", str(anchor_file), "--device", "cpu", *quick]
    clicks = ["--point", "18,20", "--point", "20,22", "--not-point", "2,2", "--box", "8,10,20,20"]
    assert main(["run", str(clip_folder), "--out", str(tmp_path / "out"), *words, *clicks]) == 0
    prompt = ac.Prompt(points=((18, 20), (20, 22)), outside=((2, 2),), box=(8, 10, 20, 20))
    arguments = {"anchor": anchor_file, "backbone": ac.load(place, device="cpu"), "options": options}
    animation = ac.animate(clip_folder, masks=prompt, **arguments)
    tracks = np.load(tmp_path / "out" / "tracks.npz")
    np.testing.assert_array_equal(animation.points_px, tracks["points_px"])
    assert "masks_by_prompt" in {note.code for note in animation.notes}
    images = np.stack([event.image for event in open_frames(clip_folder).events() if isinstance(event, Frame)])
    again = ac.animate(images, masks=prompt, sam2_weights=sam_folder, **arguments)
    np.testing.assert_array_equal(again.vertices, animation.vertices)
    with pytest.raises(WeightsError, match=r"nowhere/config\.json is missing"):
        ac.animate(clip_folder, masks=prompt, sam2_weights="nowhere", **arguments)


def test_bad_arguments_are_named(clip_folder: Path, tiny_folder: Path) -> None:
    backbone = ac.load(tiny_folder, device="cpu")
    images = np.zeros((3, 8, 9, 3), np.uint8)
    with pytest.raises(InputError, match="masks are an array, but the clip is a path"):
        ac.animate(clip_folder, masks=np.ones((3, 8, 9), bool), backbone=backbone)
    with pytest.raises(InputError, match="masks are a path"):
        ac.animate(images, masks="masks/", backbone=backbone)
    with pytest.raises(ShapeError, match="masks"):
        ac.animate(images, masks=np.ones((3, 9, 8), bool), backbone=backbone)
    with pytest.raises(InputError, match="has no frames"):
        ac.animate(images[:0], backbone=backbone)
    with pytest.raises(ConfigError, match="unknown option 'stepz'"):
        ac.animate(images, backbone=backbone, options={"sampling.stepz": 3})
    for clip, name in ((clip_folder, str(clip_folder)), (images, "images in memory")):
        with pytest.raises(ConfigError, match=f"a fixed frame is for bags, which hold TF; {name} is none"):
            ac.animate(clip, fixed_frame="odom", backbone=backbone)
