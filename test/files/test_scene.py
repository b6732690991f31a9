"""Several animations in one GLB: structure, places and times are those of the results that they come from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from node.hand_made import make_result

from attnchain_ros.camera.poses import pose_from_quaternion
from attnchain_ros.errors import FileFormatError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.files.glb import accessor_array, check_glb, load_glb
from attnchain_ros.files.results import ResultOptions, ResultWriter
from attnchain_ros.files.scene import SCENE_FROM_CAMERA, ScenePart, write_scene

STAMPS = np.arange(1, 6, dtype=np.int64) * 10**8


def results(folder: Path, stamps: np.ndarray, *, scale: float = 1.0, valid: bool = True, turned: bool = False) -> Path:
    """A folder as a run leaves it."""
    result = make_result(stamps, scale=scale)
    if not valid:
        result = replace(result, camera=replace(result.camera, valid=np.zeros(len(stamps), bool)))
    if turned:  # a mesh of the user's own, in other units and turned
        user = np.diag([2.5, 2.5, 2.5, 1.0]) @ pose_from_quaternion(np.array([1.0, 2, 3]), np.array([0, 0.6, 0, 0.8]))
        result = replace(result, user_from_object=user)
    with ResultWriter(folder, ResultOptions("clip", "first image", "", "cpu")) as writer:
        writer.add(result, np.zeros((len(stamps), 24, 32, 3), np.uint8))
        writer.finish()
    return folder


def samplers(document: dict, data: bytes, node: int) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """Times, values and interpolation by path."""
    animation = document["animations"][0]
    found = {}
    for channel in animation["channels"]:
        if channel["target"]["node"] == node:
            one = animation["samplers"][channel["sampler"]]
            times, values = (accessor_array(document, data, one[key]) for key in ("input", "output"))
            found[channel["target"]["path"]] = times, values, one["interpolation"]
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_vertices_stand_where_the_cameras_saw_them_at_every_frame(tmp_path: Path, turned: bool):
    metric = results(tmp_path / "a", STAMPS, scale=0.25)
    other = results(tmp_path / "b", STAMPS[1:4] + 5, turned=turned)
    parts = [ScenePart("object_3", metric), ScenePart("object_7", other)]
    assert write_scene(tmp_path / "objects.glb", parts) == []
    document = check_glb(tmp_path / "objects.glb")
    data = load_glb(tmp_path / "objects.glb")[1]
    assert [node["name"] for node in document["nodes"]] == ["object_3", "object_7"] and len(document["meshes"]) == 2
    for node, (folder, stamps, scale) in enumerate(((metric, STAMPS, 0.25), (other, STAMPS[1:4] + 5, 1.0))):
        truth = make_result(stamps)
        meshes = read_animated_glb(folder / "animation.glb").vertices
        paths = samplers(document, data, node)
        times, places, _ = paths["translation"]
        np.testing.assert_allclose(times, (stamps - STAMPS[0]) * 1e-9, atol=1e-6)
        np.testing.assert_allclose(paths["weights"][0], times, atol=1e-6)
        factor = document["nodes"][node]["scale"][0]
        for frame in range(len(stamps)):
            pose = pose_from_quaternion(places[frame].astype(float), paths["rotation"][1][frame].astype(float))
            seen = (factor * meshes[frame]) @ pose[:3, :3].T + pose[:3, 3]
            camera = truth.camera.camera_from_object[frame]
            wanted = (truth.vertices[frame] @ camera[:3, :3].T + camera[:3, 3]) * scale @ SCENE_FROM_CAMERA[:3, :3].T
            np.testing.assert_allclose(seen, wanted, atol=2e-6)


def test_who_comes_later_or_goes_is_hidden_meanwhile(tmp_path: Path):
    long, short = results(tmp_path / "a", STAMPS), results(tmp_path / "b", STAMPS[1:3])
    write_scene(tmp_path / "objects.glb", [ScenePart("a", long), ScenePart("b", short)])
    document, data = load_glb(tmp_path / "objects.glb")
    times, scales, how = samplers(document, data, 1)["scale"]
    np.testing.assert_allclose(times, [0, 0.1, 0.201], atol=1e-6)
    np.testing.assert_allclose(scales[:, 0], [0, 1, 0], atol=1e-6)
    assert how == "STEP"
    times, scales, _ = samplers(document, data, 0)["scale"]
    assert times.tolist() == [0.0] and scales[:, 0] == pytest.approx([1.0]), "it is there from start to end"


def test_the_same_input_gives_the_same_bytes_and_meshes_are_kept_as_they_are(tmp_path: Path):
    parts = [ScenePart("a", results(tmp_path / "a", STAMPS)), ScenePart("b", results(tmp_path / "b", STAMPS[:1]))]
    for name in ("one.glb", "two.glb"):
        write_scene(tmp_path / name, parts)
    assert (tmp_path / "one.glb").read_bytes() == (tmp_path / "two.glb").read_bytes()
    document, data = load_glb(tmp_path / "one.glb")
    for number, part in enumerate(parts):
        own, own_data = load_glb(part.folder / "animation.glb")
        mine = document["meshes"][number]["primitives"][0]
        theirs = own["meshes"][0]["primitives"][0]
        for name, place in theirs["attributes"].items():
            found = accessor_array(document, data, mine["attributes"][name])
            np.testing.assert_array_equal(found, accessor_array(own, own_data, place))
        assert len(mine.get("targets", [])) == len(theirs.get("targets", []))


def test_a_part_without_any_pose_is_left_out_and_named(tmp_path: Path):
    lost = results(tmp_path / "b", STAMPS, valid=False)
    parts = [ScenePart("a", results(tmp_path / "a", STAMPS)), ScenePart("b", lost)]
    assert write_scene(tmp_path / "objects.glb", parts) == ["b"]
    assert len(check_glb(tmp_path / "objects.glb")["nodes"]) == 1
    assert write_scene(tmp_path / "none.glb", parts[1:]) == ["b"] and not (tmp_path / "none.glb").exists()


def test_what_cannot_be_read_is_named(tmp_path: Path):
    folder = results(tmp_path / "a", STAMPS)
    (folder / "cameras.npz").write_bytes(json.dumps({}).encode())
    with pytest.raises(FileFormatError, match=r"cameras.npz cannot be read"):
        write_scene(tmp_path / "objects.glb", [ScenePart("a", folder)])
    assert not (tmp_path / "objects.glb").exists()
