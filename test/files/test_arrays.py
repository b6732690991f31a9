"""Arrays by name, from archives that are whole, damaged, or something else."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.files.arrays import read_arrays


def test_optional_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=1, other=2)
    assert set(read_arrays(tmp_path / "a.npz", ("first",), ("second", "other"))) == {"first", "other"}
    with pytest.raises(FileFormatError, match=r"a.npz has no array second and no third, only first, other"):
        read_arrays(tmp_path / "a.npz", ("first", "second", "third"))


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=np.array([{}], object))
    with pytest.raises(FileFormatError, match=r"a.npz cannot be read: Object arrays cannot be loaded"):
        read_arrays(tmp_path / "a.npz", ("first",))


def header(text: str) -> bytes:
    """The beginning of an array in numpy's format, whose header is a Python literal."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no array", "first is no array"),
        (header("{'("), "cannot be read"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387903,)}"), "Unable to allocate"),
    ],
)
def test_what_is_no_array_is_refused_by_name(tmp_path: Path, body: bytes, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("first.npy", body)
    with pytest.raises(FileFormatError, match=r"a.npz cannot be read: .*") as caught:
        read_arrays(tmp_path / "a.npz", ("first",))
    assert said in str(caught.value)
