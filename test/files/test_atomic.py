"""Files are whole or absent, and no name leads out of the output folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from attnchain_ros.errors import FileFormatError, InputError
from attnchain_ros.files.atomic import (
    folder_then_rename,
    inside,
    make_folder,
    remove_empty,
    write_bytes,
    write_then_rename,
)


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "new" / "result.bin"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError), write_then_rename(path) as file:
        file.write(b"half of the new")
        raise RuntimeError("disk full")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_name_appears_only_when_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.bin"
    with write_then_rename(path) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_folder_or_an_unwritable_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is a folder"), write_then_rename(tmp_path):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileFormatError, match="cannot write in"), write_then_rename(tmp_path / "file" / "below"):
        pass


def test_a_folder_is_replaced_only_on_request_and_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    with folder_then_rename(path, overwrite=False) as place:
        assert place.name == "bag"
        place.mkdir()
        (place / "a").write_text("1")
    with pytest.raises(FileFormatError, match="exists already"), folder_then_rename(path, overwrite=False):
        pass
    with pytest.raises(RuntimeError), folder_then_rename(path, overwrite=True) as place:
        place.mkdir()
        raise RuntimeError
    assert (path / "a").read_text() == "1"
    with folder_then_rename(path, overwrite=True) as place:
        place.mkdir()
        (place / "b").write_text("2")
    assert [item.name for item in path.iterdir()] == ["b"]
    assert list(tmp_path.iterdir()) == [path]


def test_names_below_the_folder_are_resolved(tmp_path: Path) -> None:
    root = tmp_path / "out"
    root.mkdir()
    assert inside(root, "a/b.glb") == root.resolve() / "a" / "b.glb"
    assert inside(root, root / "b.glb") == root.resolve() / "b.glb"
    link = tmp_path / "link"
    link.symlink_to(root)
    assert inside(link, "b.glb") == root.resolve() / "b.glb"


@pytest.mark.parametrize(
    "name", ["../b.glb", "a/../../b.glb", "a/../b.glb", "/etc/passwd", "", " ", ".", "a\0b", "escape/b.glb"]
)
def test_every_way_out_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "out"
    root.mkdir()
    (root / "escape").symlink_to(tmp_path)
    with pytest.raises(InputError):
        inside(root, name)


def test_a_neighbour_with_the_same_beginning_is_outside(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="leads out"):
        inside(tmp_path / "out", tmp_path / "out2" / "b.glb")


def test_folders_made_in_vain_go_again_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    made = make_folder(tmp_path / "old" / "new" / "deep")
    assert made == [tmp_path / "old" / "new" / "deep", tmp_path / "old" / "new"]
    assert make_folder(made[0]) == []
    (tmp_path / "old" / "new" / "kept").write_text("kept")
    remove_empty(made)
    assert [path.name for path in (tmp_path / "old" / "new").iterdir()] == ["kept"]
    with pytest.raises(RuntimeError), folder_then_rename(tmp_path / "a" / "b" / "bag", overwrite=False):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
