"""Checkpoint folders in the published layout: reading, checking and writing them (safetensors only)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..config import RolloutConfig, flatten
from ..errors import WeightsError
from .dinov2 import DinoSizes, DinoV2
from .tensor_files import TensorFile
from .transformer import FlowTransformer, TransformerSizes
from .vae import ShapeVae, VaeSizes

KeyRules = tuple[tuple[str, str], ...]
"""(published, ours) pieces of key names, applied in order to dot-bounded pieces."""

COMMON_RULES: KeyRules = (
    ("ff.net.0.proj", "feed_forward.inner"),
    ("ff.net.2", "feed_forward.outer"),
    ("to_out.0", "to_out"),
)
STAGE_ZERO_RULES: KeyRules = (
    ("norm1", "norm_self"),
    ("attn1", "self_attention"),
    ("norm2", "norm_cross"),
    ("attn2", "cross_attention"),
    ("norm3", "norm_feed"),
    *COMMON_RULES,
)
STAGE_ONE_RULES: KeyRules = (
    ("norm_s_attn", "norm_self"),
    ("s_attn", "self_attention"),
    ("norm_x_attn", "norm_cross"),
    ("x_attn", "cross_attention"),
    ("norm_ff", "norm_feed"),
    ("linear_skip", "skip_linear"),
    ("norm_skip", "skip_norm"),
    *COMMON_RULES,
)
VAE_RULES: KeyRules = (
    ("norm1", "norm_self"),
    ("attn1", "self_attention"),
    ("norm2", "norm_query"),
    ("attn2", "cross_attention"),
    ("norm3", "norm_feed"),
    *COMMON_RULES,
)
DINO_RULES: KeyRules = (
    ("embeddings.cls_token", "class_token"),
    ("embeddings.mask_token", "mask_token"),
    ("embeddings.position_embeddings", "positions"),
    ("embeddings.patch_embeddings.projection", "patches"),
    ("encoder.layer", "layers"),
    ("attention.attention.query", "attention.to_q"),
    ("attention.attention.key", "attention.to_k"),
    ("attention.attention.value", "attention.to_v"),
    ("attention.output.dense", "attention.to_out"),
    ("layer_scale1.lambda1", "scale1"),
    ("layer_scale2.lambda1", "scale2"),
    ("mlp.fc1", "feed_forward.inner"),
    ("mlp.fc2", "feed_forward.outer"),
    ("layernorm", "norm"),
)

VAE_FILE = "TripoSG/vae/diffusion_pytorch_model.safetensors"
STAGE_ZERO_FILE = "TripoSG/transformer/diffusion_pytorch_model.safetensors"
STAGE_ONE_FILE = "ActionMesh/denoiser/model.safetensors"
IMAGE_ENCODER_ZERO = "TripoSG/image_encoder_dinov2"
PREPROCESSOR_ZERO = "TripoSG/feature_extractor_dinov2"
IMAGE_ENCODER_ONE = "dinov2"
SCHEDULER_FILE = "TripoSG/scheduler/scheduler_config.json"
RECOMMENDED_FILE = "attnchain.json"
_MOST_LAYERS, _MOST_COUNT = 512, 2**20
"""Far above every published network; a damaged number would build layers until the memory is full."""
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def rename_key(key: str, rules: KeyRules, *, publish: bool = False) -> str:
    """One key from the published naming to ours, or back with ``publish``."""
    for published, ours in rules:
        old, new = (ours, published) if publish else (published, ours)
        key = re.sub(rf"(?<![^.]){re.escape(old)}(?![^.])", new, key, count=1)
    return key


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a checkpoint folder.

    Raises:
        WeightsError: the file is missing or no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing: is {path.parent} a folder in the published layout?") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds a {type(value).__name__}, wanted an object")
    return value


def config_count(config: Mapping[str, Any], path: Path, name: str) -> int:
    """A positive whole number in a config file, checked for presence and type."""
    if name not in config:
        raise WeightsError(f"{path} has no entry {name!r}")
    value = config[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise WeightsError(f"{path}: {name} is {value!r}, wanted int")
    if value < 1:
        raise WeightsError(f"{path}: {name} is {value}, wanted at least 1")
    most = _MOST_LAYERS if "layers" in name else _MOST_COUNT
    if value > most:
        raise WeightsError(f"{path}: {name} is {value}, wanted at most {most}: is the file damaged?")
    return value


def config_number(config: Mapping[str, Any], path: Path, name: str, default: float) -> float:
    """A positive finite number in a config file, ``default`` where it is not given."""
    value = config.get(name, default)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise WeightsError(f"{path}: {name} is {value!r}, wanted a positive number")
    return float(value)


def recommended_options(extra: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The options of ``RolloutConfig`` that a checkpoint was made for, by dotted name.

    Raises:
        WeightsError: no object, an unknown option, or a value of another type.
    """
    found = extra.get("recommended", {})
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: recommended is a {type(found).__name__}, wanted an object of options")
    known = flatten(RolloutConfig())
    for name, value in found.items():
        if name not in known:
            raise WeightsError(f"{path}: recommended names the option {name!r}, which there is not: remove it")
        kind = type(known[name][1])
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise WeightsError(f"{path}: recommended {name} is {value!r}, wanted a value of type {kind.__name__}")
    return dict(found)


def refuse_unsupported(config: Mapping[str, Any], path: Path, supported: Mapping[str, Any]) -> None:
    """Refuse config entries that would change the network into one that is not implemented here."""
    for name, wanted in supported.items():
        if name in config and config[name] != wanted:
            raise WeightsError(f"{path}: {name} is {config[name]!r}; only {wanted!r} is supported")


@dataclass(frozen=True)
class Target:
    """Where weights go: each tensor is brought there by itself, so that no second copy of a network ever exists."""

    device: torch.device
    dtype: torch.dtype


CPU_FLOAT32 = Target(torch.device("cpu"), torch.float32)


def load_state(module: nn.Module, path: Path, rules: KeyRules, target: Target = CPU_FLOAT32) -> None:
    """Fill a module from a safetensors file with published key names.

    Keys and shapes are compared before the first tensor is read.

    Raises:
        WeightsError: the file is missing or damaged, a key is unknown or missing, or a shape differs; keys are named.
    """
    file, names = match_keys(module, path, rules)
    state = {names[name]: value for name, value in file.tensors(target.device, target.dtype)}
    module.load_state_dict(state, assign=True)


def match_keys(module: nn.Module, path: Path, rules: KeyRules) -> tuple[TensorFile, dict[str, str]]:
    """A safetensors file that fits a module, and the module's key for each of the file's; no tensor is read.

    Raises:
        WeightsError: see ``load_state``.
    """
    if not path.is_file():
        pickles = [other.name for other in sorted(path.parent.glob("*")) if other.suffix in _PICKLES]
        hint = f"; {pickles[0]} beside it is a pickle, which is not read: convert it to safetensors" if pickles else ""
        raise WeightsError(f"{path} is missing: put the published weights there (README, 'Real weights'){hint}")
    file = TensorFile(path)
    wanted = module.state_dict()
    names = {rename_key(key, rules, publish=True): key for key in wanted}
    problems: list[str] = []
    unknown = sorted(set(file.shapes) - set(names))
    missing = sorted(set(names) - set(file.shapes))
    if unknown:
        problems.append("unknown keys: " + first_few(unknown))
    if missing:
        problems.append("missing keys: " + first_few(missing))
    for name in sorted(set(names) & set(file.shapes)):
        got, want = file.shapes[name], tuple(wanted[names[name]].shape)
        if got != want:
            problems.append(f"{name} has shape {list(got)}, the config asks for {list(want)}")
            break
    if problems:
        raise WeightsError(f"{path} does not fit its config: {'; '.join(problems)}")
    return file, names


def first_few(names: list[str], count: int = 4) -> str:
    """Some names for an error message, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def save_state(module: nn.Module, path: Path, rules: KeyRules) -> None:
    """Write a module with published key names, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state: dict[str, Tensor] = {
        rename_key(key, rules, publish=True): value.detach().cpu().contiguous()
        for key, value in module.state_dict().items()
    }
    partial = path.with_suffix(".partial")
    save_file(state, str(partial), metadata={"format": "pt"})
    partial.replace(path)


def vae_sizes(path: Path) -> VaeSizes:
    """Sizes of the VAE from its config file."""
    config = read_json(path)
    refuse_unsupported(config, path, {"in_channels": 3, "embedding_type": "frequency", "embed_include_pi": False})
    return VaeSizes(
        width_encoder=config_count(config, path, "width_encoder"),
        width_decoder=config_count(config, path, "width_decoder"),
        layers_encoder=config_count(config, path, "num_layers_encoder"),
        layers_decoder=config_count(config, path, "num_layers_decoder"),
        heads=config_count(config, path, "num_attention_heads"),
        channels=config_count(config, path, "latent_channels"),
        frequencies=config_count({"embed_frequency": 8, **config}, path, "embed_frequency"),
    )


def stage_zero_sizes(path: Path) -> TransformerSizes:
    """Sizes of Stage 0's transformer from its config file."""
    config = read_json(path)
    refuse_unsupported(config, path, {"use_cross_attention_2": False})
    return transformer_sizes(config, path)


def stage_one_sizes(path: Path) -> TransformerSizes:
    """Sizes of Stage I's transformer from its config file."""
    config = read_json(path)
    layers = config.get("inflated_layers")
    count = config_count(config, path, "num_layers")
    known = isinstance(layers, list) and all(isinstance(layer, int) and 0 <= layer < count for layer in layers)
    if not layers or not known:
        raise WeightsError(f"{path}: inflated_layers {layers!r} must name at least one of the layers 0 .. {count - 1}")
    return replace(
        transformer_sizes(config, path),
        inflated_layers=tuple(layers),
        frames=config_count(config, path, "temporal_context_size"),
        tokens=config_count(config, path, "num_tokens_nominal"),
        ratio=config_number(config, path, "mlp_ratio", 4.0),
    )


def dino_sizes(path: Path) -> DinoSizes:
    """Sizes of an image encoder from its config file.

    Raises:
        WeightsError: an entry is missing or damaged, or it describes another network than DINOv2 up to size large.
    """
    config = read_json(path)
    supported = {"hidden_act": "gelu", "use_swiglu_ffn": False, "qkv_bias": True, "num_channels": 3}
    refuse_unsupported(config, path, {**supported, "use_mask_token": True, "model_type": "dinov2"})
    sizes = DinoSizes(
        width=config_count(config, path, "hidden_size"),
        heads=config_count(config, path, "num_attention_heads"),
        layers=config_count(config, path, "num_hidden_layers"),
        patch=config_count(config, path, "patch_size"),
        image=config_count(config, path, "image_size"),
        ratio=config_number(config, path, "mlp_ratio", 4.0),
        eps=config_number(config, path, "layer_norm_eps", 1e-6),
    )
    check_heads(sizes.width, sizes.heads, path)
    return sizes


def transformer_sizes(config: Mapping[str, Any], path: Path) -> TransformerSizes:
    """The sizes that Stage 0 and Stage I name alike."""
    return TransformerSizes(
        width=config_count(config, path, "width"),
        heads=config_count(config, path, "num_attention_heads"),
        layers=config_count(config, path, "num_layers"),
        channels=config_count(config, path, "in_channels"),
        context_width=config_count(config, path, "cross_attention_dim"),
    )


def check_heads(width: int, heads: int, path: Path, even: bool = False) -> None:
    """Refuse a width that cannot be split into heads (of even width, where rotary embedding needs pairs)."""
    if width % heads or (even and (width // heads) % 2):
        raise WeightsError(
            f"{path}: width {width} cannot be split into {heads} heads" + (" of even width" if even else "")
        )


@dataclass(frozen=True)
class Unfilled:
    """A network of the right sizes without its weights (on the meta device), and the file that holds them."""

    network: Any
    path: Path
    rules: KeyRules

    def fill(self, target: Target) -> Any:
        """The network with its weights, frozen; see ``load_state``."""
        load_state(self.network, self.path, self.rules, target)
        return self.network.eval().requires_grad_(False)


def vae_of(folder: Path) -> Unfilled:
    """TripoSG's VAE of ``<weights>``, as its config describes it."""
    path = folder / VAE_FILE
    config = path.with_name("config.json")
    sizes = vae_sizes(config)
    check_heads(sizes.width_encoder, sizes.heads, config)
    check_heads(sizes.width_decoder, sizes.heads, config)
    with torch.device("meta"):
        return Unfilled(ShapeVae(sizes), path, VAE_RULES)


def stage_zero_of(folder: Path) -> Unfilled:
    """TripoSG's image-to-3D transformer of ``<weights>``, as its config describes it."""
    path = folder / STAGE_ZERO_FILE
    return transformer_of(path, stage_zero_sizes(path.with_name("config.json")), STAGE_ZERO_RULES)


def stage_one_of(folder: Path) -> Unfilled:
    """ActionMesh's temporal denoiser of ``<weights>``, as its config describes it."""
    path = folder / STAGE_ONE_FILE
    return transformer_of(path, stage_one_sizes(path.with_name("config.json")), STAGE_ONE_RULES)


def transformer_of(path: Path, sizes: TransformerSizes, rules: KeyRules) -> Unfilled:
    """A flow transformer of the given sizes, and its safetensors file."""
    check_heads(sizes.width, sizes.heads, path.with_name("config.json"), even=True)
    with torch.device("meta"):
        return Unfilled(FlowTransformer(sizes), path, rules)


def dino_of(folder: Path) -> Unfilled:
    """The image encoder of a folder (``config.json``, ``model.safetensors``), as its config describes it."""
    path = folder / "model.safetensors"
    sizes = dino_sizes(path.with_name("config.json"))
    with torch.device("meta"):
        return Unfilled(DinoV2(sizes), path, DINO_RULES)


def load_vae(folder: Path, target: Target = CPU_FLOAT32) -> ShapeVae:
    """TripoSG's VAE from ``<weights>``."""
    return vae_of(folder).fill(target)


def load_stage_zero(folder: Path, target: Target = CPU_FLOAT32) -> FlowTransformer:
    """TripoSG's image-to-3D transformer from ``<weights>``."""
    return stage_zero_of(folder).fill(target)


def load_stage_one(folder: Path, target: Target = CPU_FLOAT32) -> FlowTransformer:
    """ActionMesh's temporal denoiser from ``<weights>``."""
    return stage_one_of(folder).fill(target)


def load_dino(folder: Path, target: Target = CPU_FLOAT32) -> DinoV2:
    """An image encoder from its folder (``config.json``, ``model.safetensors``)."""
    return dino_of(folder).fill(target)
