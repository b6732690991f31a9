"""The mesh in a file: what is in it, where it may lie, and that it is whole or not there at all."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import trimesh
from node.hand_made import COLORS, FACES, make_result, vertices_at

from attnchain_ros.errors import FileFormatError, InputError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.node.saving import FORMATS, save_result

STAMPS = np.array([10**9, 2 * 10**9, 3 * 10**9])
RESULT = make_result(STAMPS, scale=2.0)
NAMES = [f"mesh{ending}" for ending in FORMATS]


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_glb_holds_the_animation(tmp_path: Path):
    path = save_result(RESULT, tmp_path, "new/mesh.glb", overwrite=False)
    found = read_animated_glb(path)
    np.testing.assert_allclose(found.vertices, RESULT.vertices * 2, atol=1e-6)
    np.testing.assert_array_equal(found.faces, FACES)
    np.testing.assert_allclose(found.times_s, [0, 1, 2], atol=1e-6)


def test_npz_holds_all_arrays(tmp_path: Path):
    with np.load(save_result(RESULT, tmp_path, "mesh.npz", overwrite=False), allow_pickle=False) as found:
        np.testing.assert_array_equal(found["vertices"], RESULT.vertices * np.float32(2))
        np.testing.assert_array_equal(found["stamps_ns"], STAMPS)
        np.testing.assert_allclose(found["camera_from_object"][:, :3, 3], np.tile([0.2, -0.4, 6.0], (3, 1)))
        assert found["scale"] == 2.0 and bool(found["metric"]) and found["vertex_colors"].tolist() == COLORS.tolist()


@pytest.mark.parametrize("name", ["mesh.ply", "mesh.obj"])
def test_ply_and_obj_hold_the_first_frame(tmp_path: Path, name: str):
    found = trimesh.load(save_result(RESULT, tmp_path, name, overwrite=False), process=False)
    np.testing.assert_allclose(found.vertices, vertices_at(int(STAMPS[0])) * 2, atol=1e-6)
    np.testing.assert_array_equal(found.faces, FACES)


def test_an_output_dir_that_is_a_file_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(FileFormatError, match=f"output_dir {tmp_path}/file is a file, wanted a folder"):
        save_result(RESULT, tmp_path / "file", "mesh.glb", overwrite=True)
    assert (tmp_path / "file").read_text() == "kept"


def test_nothing_is_written_outside_of_the_folder(tmp_path: Path):
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    other.mkdir()
    (other / "kept.glb").write_text("kept")
    (out / "away").symlink_to(other)
    (out / "file.glb").symlink_to(other / "kept.glb")
    (out / "dangling.glb").symlink_to(other / "new.glb")
    for name, reason in (
        ("../other/x.glb", "'..'"),
        ("a/../../x.glb", "'..'"),
        (str(other / "x.glb"), "leads out"),
        ("away/x.glb", "leads out"),
        ("file.glb", "leads out"),
        ("dangling.glb", "leads out"),
        ("", "empty"),
        (".", "the output folder itself"),
        ("x.stl", "'.stl', wanted one of .glb, .ply, .obj, .npz"),
        ("x", "wanted one of"),
    ):
        with pytest.raises(InputError) as error:
            save_result(RESULT, out, name, overwrite=True)
        assert reason in str(error.value), name
    assert everything_below(other) == {"kept.glb"} and (other / "kept.glb").read_text() == "kept"
    assert everything_below(out) == {"away", "file.glb", "dangling.glb"}


def test_an_absolute_name_below_the_folder_is_fine(tmp_path: Path):
    assert save_result(RESULT, tmp_path, str(tmp_path / "x.ply"), overwrite=False) == tmp_path / "x.ply"


def test_an_existing_file_is_only_replaced_when_asked(tmp_path: Path):
    path = save_result(RESULT, tmp_path, "mesh.ply", overwrite=False)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already: set overwrite"):
        save_result(make_result(STAMPS), tmp_path, "mesh.ply", overwrite=False)
    assert path.read_bytes() == before
    save_result(make_result(STAMPS), tmp_path, "mesh.ply", overwrite=True)
    assert path.read_bytes() != before


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow above a limit: a write beyond it fails as on a full disk (Python ignores the signal)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_fails_leaves_the_old_file_and_no_half_one(tmp_path: Path, name: str):
    path = save_result(RESULT, tmp_path, name, overwrite=False)
    before = path.read_bytes()
    with small_files(100), pytest.raises(FileFormatError, match="could not be written: File too large"):
        save_result(RESULT, tmp_path, name, overwrite=True)
    assert everything_below(tmp_path) == {name} and path.read_bytes() == before


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page that is full already."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=20", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        (place / "filler").write_bytes(b"x" * 4096)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_gives_an_error_and_no_half_file(full_disk: Path, name: str):
    with pytest.raises(FileFormatError, match="could not be written: No space left on device"):
        save_result(RESULT, full_disk, name, overwrite=True)
    assert everything_below(full_disk) == {"filler"}
