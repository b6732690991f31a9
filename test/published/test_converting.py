"""Safetensors files in another precision."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attnchain_ros.errors import WeightsError
from attnchain_ros.published.converting import convert_file, converted_size


def test_fractions_are_rounded_and_the_rest_is_kept(tmp_path: Path) -> None:
    source, target = tmp_path / "a.safetensors", tmp_path / "folder" / "b.safetensors"
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "float32": torch.randn(7, 3, generator=generator),
        "float16": torch.randn(5, generator=generator).half(),
        "float64": torch.randn(2, 2, generator=generator).double(),
        "scalar": torch.tensor(1.0 / 3.0),
        "empty": torch.zeros(0, 4),
        "int64": torch.arange(3),
        "bool": torch.tensor([True, False, True]),
    }
    save_file(tensors, source)
    read: list[int] = []
    sha256 = convert_file(source, target, "bfloat16", read.append)
    found = load_file(target)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        want = tensor.bfloat16() if tensor.is_floating_point() else tensor
        assert found[name].dtype == want.dtype and torch.equal(found[name], want), name
    assert hashlib.sha256(target.read_bytes()).hexdigest() == sha256
    assert target.stat().st_size == converted_size(source, "bfloat16")
    assert sum(read) == sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    assert convert_file(source, tmp_path / "again.safetensors", "bfloat16") == sha256


def test_a_damaged_source_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(1000)}, source)
    source.write_bytes(source.read_bytes()[:-10])
    with pytest.raises(WeightsError, match="is no readable safetensors file"):
        convert_file(source, tmp_path / "b.safetensors", "bfloat16")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


LIMITED = """
import resource, sys
from pathlib import Path
from attnchain_ros.published.converting import convert_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert_file(Path(sys.argv[1]), Path(sys.argv[2]), "bfloat16")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_is_never_in_memory_whole(tmp_path: Path) -> None:
    source = tmp_path / "a.safetensors"
    save_file({f"t{index}": torch.zeros(4 << 20) for index in range(60)}, source)
    words = [sys.executable, "-W", "ignore", "-c", LIMITED, str(source), str(tmp_path / "b.safetensors")]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    grown = 1024 * int(done.stdout)
    assert grown < 0.6 * source.stat().st_size
