"""Checkpoint folders: what is loaded, and what is refused with which words."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from attnchain_ros.backbone import weights
from attnchain_ros.backbone.backbone import choose_device, choose_dtype, load_backbone
from attnchain_ros.errors import ConfigError, WeightsError

DENOISER = "ActionMesh/denoiser/config.json"


def test_key_names_round_trip(tiny_folder: Path) -> None:
    for name, rules, load in (
        (weights.VAE_FILE, weights.VAE_RULES, weights.load_vae),
        (weights.STAGE_ZERO_FILE, weights.STAGE_ZERO_RULES, weights.load_stage_zero),
        (weights.STAGE_ONE_FILE, weights.STAGE_ONE_RULES, weights.load_stage_one),
    ):
        published = load_file(str(tiny_folder / name))
        ours = load(tiny_folder).state_dict()
        assert {weights.rename_key(key, rules) for key in published} == set(ours)
        for key, value in published.items():
            assert ours[weights.rename_key(key, rules)].equal(value), key


def test_a_loaded_backbone_knows_its_sizes(tiny_folder: Path) -> None:
    backbone = load_backbone(tiny_folder, device="cpu")
    assert (backbone.frames, backbone.tokens, backbone.channels) == (4, 12, 6)
    assert (backbone.encoder_one.grid, backbone.encoder_one.input_size) == (4, 20)
    assert backbone.encoder_one is backbone.encoder_zero
    assert len(backbone.checksum) == 12 and backbone.recommended == {}


def edit_json(name: str, **changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        config = {**json.loads(path.read_text(encoding="utf-8")), **changes}
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")

    return change


def edit_weights(name: str, **changes: torch.Tensor | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        state = load_file(str(folder / name))
        for key, value in changes.items():
            full = key.replace("__", ".")
            if value is None:
                del state[full]
            else:
                state[full] = value
        save_file(state, str(folder / name), metadata={"format": "pt"})

    return change


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def overwrite(name: str, data: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


ENCODER = weights.IMAGE_ENCODER_ZERO + "/model.safetensors"
PROCESSOR = weights.PREPROCESSOR_ZERO + "/preprocessor_config.json"
BAD = {
    "missing file": (remove(weights.VAE_FILE), "vae/diffusion_pytorch_model.safetensors is missing"),
    "missing config": (remove(DENOISER), "denoiser/config.json is missing"),
    "broken config": (overwrite(DENOISER, b"{"), "cannot be read as JSON"),
    "config is a list": (overwrite(DENOISER, b"[]"), "holds a list"),
    "truncated weights": (overwrite(weights.STAGE_ONE_FILE, b"\x00" * 20), "no readable safetensors file"),
    "missing key": (edit_weights(weights.STAGE_ONE_FILE, proj_in__bias=None), "missing keys: proj_in.bias"),
    "unknown key": (
        edit_weights(weights.VAE_FILE, decoder__more=torch.zeros(1)),
        "unknown keys: decoder.more",
    ),
    "wrong shape": (
        edit_weights(weights.STAGE_ZERO_FILE, proj_in__weight=torch.zeros(32, 7)),
        r"proj_in.weight has shape \[32, 7\], the config asks for \[32, 6\]",
    ),
    "missing entry": (edit_json(DENOISER, width=None), "has no entry 'width'"),
    "text for a number": (edit_json(DENOISER, width="32"), "width is '32', wanted int"),
    "zero layers": (edit_json(DENOISER, num_layers=0), "num_layers is 0, wanted at least 1"),
    "layer out of range": (edit_json(DENOISER, inflated_layers=[0, 3]), "must name at least one of the layers 0 .. 2"),
    "no inflated layer": (edit_json(DENOISER, inflated_layers=[]), "must name at least one"),
    "heads do not divide": (edit_json(DENOISER, num_attention_heads=3), "width 32 cannot be split into 3 heads"),
    "other embedding": (
        edit_json("TripoSG/vae/config.json", embed_include_pi=True),
        "embed_include_pi is True; only False is supported",
    ),
    "second context": (
        edit_json("TripoSG/transformer/config.json", use_cross_attention_2=True),
        "use_cross_attention_2 is True",
    ),
    "no image encoder": (remove(ENCODER), "image_encoder_dinov2/model.safetensors is missing"),
    "image encoder key": (edit_weights(ENCODER, layernorm__bias=None), "missing keys: layernorm.bias"),
    "no image mean": (edit_json(PROCESSOR, image_mean=None), "has no entry 'image_mean'"),
    "uneven crop": (edit_json(PROCESSOR, crop_size={"height": 15, "width": 15}), "not a whole number of 4 px patches"),
    "oblong crop": (edit_json(PROCESSOR, crop_size={"height": 16, "width": 12}), "wanted one square size"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_refused_by_name(case: str, tiny_folder: Path, tmp_path: Path) -> None:
    change, message = BAD[case]
    folder = tmp_path / "weights"
    shutil.copytree(tiny_folder, folder)
    change(folder)
    with pytest.raises(WeightsError, match=message):
        load_backbone(folder, device="cpu")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no checkpoint folder at"):
        load_backbone(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("capability", "wanted"), [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16)]
)
def test_a_card_without_bfloat16_takes_float16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], wanted: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", torch.device("cuda")) == wanted
    assert choose_dtype("bfloat16", torch.device("cuda")) == torch.bfloat16


def test_devices_and_dtypes() -> None:
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    with pytest.raises(ConfigError, match="unknown dtype 'int8'"):
        choose_dtype("int8", torch.device("cpu"))
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        choose_device("gpu")
    with pytest.raises(ConfigError, match="device 'meta' is not supported"):
        choose_device("meta")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="sees no CUDA device"):
            choose_device("cuda")


def test_one_encoder_serves_both_stages_where_its_files_are_the_same(tiny_folder: Path, tmp_path: Path) -> None:
    """As in the published weights, whose dinov2 folder is a copy of TripoSG's encoder."""
    folder = tmp_path / "weights"
    shutil.copytree(tiny_folder, folder)
    own = folder / weights.IMAGE_ENCODER_ONE
    shutil.copytree(folder / weights.IMAGE_ENCODER_ZERO, own)
    shutil.copy(folder / weights.PREPROCESSOR_ZERO / "preprocessor_config.json", own)
    same = load_backbone(folder, "cpu", "float32")
    assert same.encoder_one is same.encoder_zero
    state = weights.load_dino(own).state_dict()
    state["norm.bias"] += 1.0
    other = weights.load_dino(own)
    other.load_state_dict(state)
    weights.save_state(other, own / "model.safetensors", weights.DINO_RULES)
    apart = load_backbone(folder, "cpu", "float32")
    assert apart.encoder_one is not apart.encoder_zero
    assert torch.equal(apart.encoder_one.model.norm.bias, state["norm.bias"])


def test_loading_imports_no_transformers() -> None:
    """It takes seconds, on a robot that is to start."""
    code = "import sys; from attnchain_ros.backbone import load_backbone; load_backbone(device='cpu'); "
    code += "sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
