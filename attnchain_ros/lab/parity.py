"""Checking a checkpoint folder against inputs and outputs recorded from the original networks (``io.safetensors``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..backbone.backbone import Backbone, load_backbone
from ..backbone.layers import Attended, attention_rows
from ..backbone.schedule import stage_one_schedule, stage_zero_schedule
from ..backbone.stage_one import denoise_window
from ..backbone.stage_zero import denoise_image
from ..config import RolloutConfig, SamplingConfig
from ..errors import FileFormatError

SINGLE_TOLERANCE = 1e-4
"""Absolute and relative, one evaluation in float32."""
MANY_STEPS_TOLERANCE = 1e-3
"""Absolute and relative, after several denoising steps."""
STAGE_ONE_GUIDANCE = 7.5
"""Guidance with which ``flow.final_*`` is recorded."""

INPUTS = (
    r"vae\.decode\.(latent|points)",
    r"vae\.encode\.(query_points|surface)",
    r"image_encoder\.pixels",
    r"image_to_3d\.(context|latents|timestep|sample\.init)",
    r"denoiser\.(latents|time|framestep|mask)",
    r"flow\.init_\d+",
)
"""Entries that are given, not checked."""


@dataclass(frozen=True)
class ParityRow:
    """Outcome for one entry.

    Attributes:
        key: entry of ``io.safetensors``.
        kind: 'input', 'output' or 'unknown'.
        error: largest absolute error (NaN for inputs and unknown keys).
        tolerance: bound on |ours - recorded| - tolerance * |recorded|.
        passed: inputs pass; outputs pass within tolerance; unknown keys fail.
        note: why it failed, where the error alone does not say it.
    """

    key: str
    kind: str
    error: float
    tolerance: float
    passed: bool
    note: str = ""


class _Capture:
    """A ``Probe`` that softmaxes the attention of one layer in full: for tiny folders only."""

    def __init__(self, layer: int) -> None:
        self.layer = layer
        self.self_rows: Tensor | None = None
        self.cross_rows: Tensor | None = None

    def reads(self, layer: int) -> bool:
        return layer == self.layer

    def self_attention(self, layer: int, attended: Attended) -> Tensor:
        self.self_rows = attention_rows(attended.q, attended.k)
        return attended.out

    def cross_attention(self, layer: int, q: Tensor, k: Tensor) -> None:
        if layer == self.layer:
            self.cross_rows = attention_rows(q, k)


class _Entries:
    """The recorded tensors and the function that recomputes each."""

    def __init__(self, backbone: Backbone, io: dict[str, Tensor]) -> None:
        self.backbone = backbone
        self.io = io
        self.rules: list[tuple[str, Callable[..., Tensor], float]] = [
            (r"vae\.decode\.logits", self.decode_logits, SINGLE_TOLERANCE),
            (r"vae\.decode\.cross_attention", self.decode_attention, SINGLE_TOLERANCE),
            (r"vae\.encode\.(mean|logvar)", self.encode, SINGLE_TOLERANCE),
            (r"image_encoder\.context", self.image_context, SINGLE_TOLERANCE),
            (r"image_to_3d\.velocity", self.image_velocity, SINGLE_TOLERANCE),
            (r"image_to_3d\.(timesteps|sigmas)_(\d+)", self.image_schedule, SINGLE_TOLERANCE),
            (r"image_to_3d\.sample\.final_guidance([\d.]+)_steps(\d+)", self.image_sample, MANY_STEPS_TOLERANCE),
            (r"denoiser\.velocity", self.velocity, SINGLE_TOLERANCE),
            (r"denoiser\.(self|cross)_attention\.layer(\d+)", self.attention, SINGLE_TOLERANCE),
            (r"flow\.(timesteps|distances)_(\d+)", self.flow_schedule, SINGLE_TOLERANCE),
            (r"flow\.final_(\d+)", self.flow_final, MANY_STEPS_TOLERANCE),
        ]

    def decode_logits(self) -> Tensor:
        return self.backbone.decode(self.io["vae.decode.latent"]).logits(self.io["vae.decode.points"])[..., None]

    def decode_attention(self) -> Tensor:
        return self.backbone.decode(self.io["vae.decode.latent"]).attention_heads(self.io["vae.decode.points"])

    def encode(self, part: str) -> Tensor:
        mean, logvar = self.backbone.vae.encode(self.io["vae.encode.query_points"], self.io["vae.encode.surface"])
        return mean if part == "mean" else logvar

    def image_context(self) -> Tensor:
        return self.backbone.encoder_one.encode_pixels(self.io["image_encoder.pixels"])

    def image_velocity(self) -> Tensor:
        network = self.backbone.stage_zero
        keys = network.project_context(self.io["image_to_3d.context"])
        return network(self.io["image_to_3d.latents"][:, None], self.io["image_to_3d.timestep"][:, None], keys)[:, 0]

    def image_schedule(self, part: str, steps: str) -> Tensor:
        schedule = stage_zero_schedule(int(steps), self.backbone.stage_zero_shift)
        return torch.from_numpy(schedule.times if part == "timesteps" else schedule.sigmas).float()

    def image_sample(self, guidance: str, steps: str) -> Tensor:
        shift = self.backbone.stage_zero_shift
        starts = self.io["image_to_3d.sample.init"]
        # The recorded context is the guidance batch: the unconditioned half first.
        contexts = self.io["image_to_3d.context"][-len(starts) :]
        schedule = stage_zero_schedule(int(steps), shift)
        return denoise_image(self.backbone.stage_zero, starts, contexts, schedule, float(guidance))

    def _evaluate(self, probe: _Capture | None) -> Tensor:
        network = self.backbone.stage_one
        time = self.io["denoiser.time"][:, None] * (1.0 - self.io["denoiser.mask"])
        keys = network.project_context(self.io["image_encoder.context"])
        return network(self.io["denoiser.latents"], time, keys, self.io["denoiser.framestep"], probe)

    def velocity(self) -> Tensor:
        return self._evaluate(None)

    def attention(self, kind: str, layer: str) -> Tensor:
        capture = _Capture(int(layer))
        self._evaluate(capture)
        rows = capture.self_rows if kind == "self" else capture.cross_rows
        if rows is None:
            raise FileFormatError(
                f"layer {layer} is not inflated in this folder, so its self-attention is not recorded here"
            )
        return rows

    def flow_schedule(self, part: str, steps: str) -> Tensor:
        schedule = stage_one_schedule(int(steps))
        if part == "distances":
            return torch.from_numpy(schedule.distances).float()
        return torch.from_numpy(schedule.sigmas * 1000.0).float()

    def flow_final(self, steps: str) -> Tensor:
        # Frame 0 is the anchor here too; places in time count from the smallest, so that they are 0, 1, 2, ...
        config = RolloutConfig(sampling=SamplingConfig(steps=int(steps), guidance=STAGE_ONE_GUIDANCE))
        init, context = self.io[f"flow.init_{steps}"], self.io["image_encoder.context"]
        result = denoise_window(self.backbone.stage_one, init[0], context, config)
        return result.latents[None]


@torch.no_grad()
def check_folder(folder: Path) -> Iterator[ParityRow]:
    """Recompute every recorded output of a folder, in float32 on the CPU.

    Args:
        folder: a checkpoint folder that also holds ``io.safetensors`` (inputs and outputs of the original networks).
    Yields:
        a row for each entry, in the file's order.
    Raises:
        WeightsError: the checkpoint cannot be loaded.   FileFormatError: there is no readable ``io.safetensors``.
    """
    path = folder / "io.safetensors"
    if not path.is_file():
        raise FileFormatError(f"{path} is missing: parity needs a folder with recorded inputs and outputs")
    try:
        io = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise FileFormatError(f"{path} is no readable safetensors file: {error}") from error
    entries = _Entries(load_backbone(folder, device="cpu", dtype="float32"), io)
    for key in sorted(io):
        if any(re.fullmatch(pattern, key) for pattern in INPUTS):
            yield ParityRow(key, "input", float("nan"), float("nan"), True)
            continue
        yield _check_entry(entries, key, io[key])


def _check_entry(entries: _Entries, key: str, recorded: Tensor) -> ParityRow:
    """Recompute one output and compare."""
    for pattern, compute, tolerance in entries.rules:
        match = re.fullmatch(pattern, key)
        if match is None:
            continue
        try:
            ours = compute(*match.groups())
        except KeyError as missing:
            return ParityRow(key, "output", float("nan"), tolerance, False, f"the input {missing} is not in the file")
        except FileFormatError as reason:
            return ParityRow(key, "output", float("nan"), tolerance, False, str(reason))
        if ours.shape != recorded.shape:
            note = f"shape {list(ours.shape)}, recorded {list(recorded.shape)}"
            return ParityRow(key, "output", float("nan"), tolerance, False, note)
        difference = (ours.double() - recorded.double()).abs()
        error = float(difference.max()) if difference.numel() else 0.0
        passed = bool((difference <= tolerance + tolerance * recorded.double().abs()).all())
        return ParityRow(key, "output", error, tolerance, passed)
    return ParityRow(key, "unknown", float("nan"), float("nan"), False, "no check is known for this entry")
