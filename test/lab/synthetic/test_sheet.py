"""attnchain_ros.lab.synthetic.sheet: tiles in reading order, written as RGB."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.lab.synthetic import FAMILIES, ClipConfig, make_clip, render_cropped
from attnchain_ros.lab.synthetic.sheet import contact_sheet, family_sheet, write_contact_sheet


def test_tiles_are_in_reading_order_and_the_file_keeps_colours(tmp_path: Path) -> None:
    clip = make_clip(1, ClipConfig(frames=5))
    sheet = contact_sheet(clip, size=40, columns=3)
    tiles = render_cropped(clip, range(5), 40).images
    assert sheet.shape == (80, 120, 3)
    np.testing.assert_array_equal(sheet[40:, 40:80], tiles[4])
    assert (sheet[40:, 80:] == 255).all()
    write_contact_sheet(tmp_path / "sheet.png", clip, size=40, columns=3)
    read = cv2.imread(str(tmp_path / "sheet.png"))
    assert read is not None
    np.testing.assert_array_equal(read[..., ::-1], sheet)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot be written"):
        write_contact_sheet(tmp_path / "absent" / "sheet.png", make_clip(1, ClipConfig(frames=1)), size=8)


def test_family_sheet_has_a_row_for_every_family() -> None:
    sheet = family_sheet(2, size=24, columns=3, step=4)
    assert sheet.shape == (len(FAMILIES) * 24, 72, 3)
    for row, family in enumerate(FAMILIES):
        clip = make_clip(2, ClipConfig(family=family, frames=9))
        tiles = render_cropped(clip, range(0, 9, 4), 24).images
        np.testing.assert_array_equal(sheet[24 * row : 24 * (row + 1), 24:48], tiles[1])
