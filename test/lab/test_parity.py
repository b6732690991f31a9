"""Parity with the original networks' recorded outputs, and that the check can fail."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attnchain_ros.backbone import weights
from attnchain_ros.errors import FileFormatError
from attnchain_ros.lab.parity import check_folder

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "random-tiny"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden folder beside the checkout (../shared/golden)")


@needs_golden
def test_every_recorded_output_agrees() -> None:
    rows = list(check_folder(GOLDEN))
    assert {row.key for row in rows} == set(load_file(str(GOLDEN / "io.safetensors")))
    assert [row for row in rows if not row.passed] == []
    assert sum(row.kind == "output" for row in rows) >= 18


@needs_golden
def test_changed_weights_and_unknown_entries_fail(tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    shutil.copytree(GOLDEN, folder)
    state = load_file(str(folder / weights.STAGE_ONE_FILE))
    state["blocks.3.linear_skip.weight"] = state["blocks.3.linear_skip.weight"].flip(1).contiguous()
    save_file(state, str(folder / weights.STAGE_ONE_FILE), metadata={"format": "pt"})
    io = load_file(str(folder / "io.safetensors"))
    io["denoiser.novelty"] = torch.zeros(1)
    io["vae.decode.logits"] = io["vae.decode.logits"][:, :-1]
    save_file(io, str(folder / "io.safetensors"))
    rows = {row.key: row for row in check_folder(folder)}
    assert not rows["denoiser.velocity"].passed and rows["denoiser.velocity"].error > 1e-3
    assert not rows["flow.final_4"].passed
    assert rows["denoiser.novelty"].kind == "unknown" and not rows["denoiser.novelty"].passed
    assert not rows["vae.decode.logits"].passed and "shape" in rows["vae.decode.logits"].note
    assert rows["image_to_3d.velocity"].passed


def test_a_folder_without_recordings_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(FileFormatError, match=r"io\.safetensors is missing"):
        list(check_folder(tiny_folder))
