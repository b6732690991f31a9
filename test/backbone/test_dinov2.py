"""attnchain_ros.backbone.dinov2 against transformers' Dinov2Model on the same weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from attnchain_ros.backbone.weights import Target, load_dino
from attnchain_ros.errors import WeightsError

SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 35, "patch_size": 7}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network as transformers writes it, every tensor away from its usual start."""
    torch.manual_seed(5)
    model = Dinov2Model(Dinov2Config(**SIZES, mlp_ratio=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("dino")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [(35, 35), (28, 28), (70, 49), (7, 7)], ids=str)
def test_the_same_tokens_to_the_last_bit(published: Path, dtype: torch.dtype, size: tuple[int, int]) -> None:
    """The trained grid, resampled grids and a grid that is not square. Seen equal on x86; the margin is for others."""
    pixels = torch.randn((2, 3, *size), generator=torch.Generator().manual_seed(1))
    wanted = Dinov2Model.from_pretrained(published, dtype=dtype).eval()
    ours = load_dino(published, Target(torch.device("cpu"), dtype))
    with torch.no_grad():
        expected, found = wanted(pixel_values=pixels).last_hidden_state, ours(pixels)
    assert found.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


def test_every_weight_matters(published: Path) -> None:
    """All but the mask token: otherwise the comparison above could miss a tensor that was put in the wrong place."""
    # In double precision what changes nothing does so on every processor, whatever order it adds in.
    ours = load_dino(published).double()
    pixels = torch.randn((1, 3, 35, 35), generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        before = ours(pixels)
        for name, parameter in ours.named_parameters():
            kept = parameter.clone()
            # Not by a constant: a shift of all keys alike changes no attention.
            parameter.mul_(1.0 + 0.5 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(2)))
            same = torch.allclose(before, ours(pixels), rtol=0, atol=1e-12)
            parameter.copy_(kept)
            # A bias of the keys adds the same to all scores of a row, which the softmax takes away again.
            assert same == (name == "mask_token" or name.endswith("to_k.bias")), name


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("use_swiglu_ffn", "true", "use_swiglu_ffn is True; only False is supported"),
        ("hidden_act", '"relu"', "hidden_act is 'relu'; only 'gelu' is supported"),
        ("num_attention_heads", "5", "width 24 cannot be split into 5 heads"),
        ("model_type", '"vit"', "model_type is 'vit'; only 'dinov2' is supported"),
    ],
)
def test_other_networks_are_refused(published: Path, tmp_path: Path, entry: str, value: str, message: str) -> None:
    for path in published.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = (tmp_path / "config.json").read_text(encoding="utf-8").splitlines()
    lines = [re.sub(rf'"{entry}": [^,]*', f'"{entry}": {value}', line) for line in config]
    assert lines != config
    (tmp_path / "config.json").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(WeightsError, match=message):
        load_dino(tmp_path)
