"""The frozen backbone in one object: everything the rollout asks of it, on one device and in one dtype."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import KernelConfig, RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..errors import ConfigError, WeightsError
from ..mesh.sampling import farthest_points
from . import weights
from .flow import StepProgress
from .image_encoder import ImageEncoder, load_image_encoder
from .layers import PIECE_BYTES
from .memory import FIRST_MESH, IMAGES, NETWORKS, SPARE, WINDOW, DeviceMemory, choose_level, window_bytes
from .passes import Passes, use_kernels
from .reinforcement import PairTracer
from .schedule import stage_zero_schedule
from .stage_one import StageOne, denoise_window, source_noise
from .stage_zero import denoise_image
from .tensor_files import TensorFile
from .transformer import FlowTransformer, TransformerSizes
from .vae import LEAST_POINTS, DecodedLatents, ShapeVae

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Backbone:
    """TripoSG's VAE and Stage 0, ActionMesh's Stage I and their image encoders.

    Attributes:
        name: of the checkpoint, for reports.
        checksum: tells one checkpoint's three networks from another's (``checksum``).
        folder: where it was loaded from.
        vae, stage_zero, stage_one: the networks.
        encoder_zero, encoder_one: image encoders of Stage 0 and I (often the same object).
        stage_zero_shift: time shift of Stage 0's scheduler.
        recommended: dotted options of ``RolloutConfig`` that this checkpoint was made for (empty for published
            weights).
        device, dtype: where and in what it computes.
        memory: which networks are on the device, and how large temporary arrays may get.
        passes: how Stage 0 and Stage I are computed.
    """

    name: str
    checksum: str
    folder: Path
    vae: ShapeVae
    stage_zero: FlowTransformer
    stage_one: FlowTransformer
    encoder_zero: ImageEncoder
    encoder_one: ImageEncoder
    stage_zero_shift: float
    recommended: dict[str, Any]
    device: torch.device
    dtype: torch.dtype
    memory: DeviceMemory
    passes: Passes = field(default_factory=Passes)

    @property
    def frames(self) -> int:
        """Frames of a window that Stage I was made for, F."""
        return self.stage_one.sizes.frames

    @property
    def tokens(self) -> int:
        """Latent tokens of a frame, N."""
        return self.stage_one.sizes.tokens

    @property
    def channels(self) -> int:
        """Latent channels, c."""
        return self.stage_one.sizes.channels

    @torch.no_grad()
    def encode_surface(self, points: np.ndarray, normals: np.ndarray) -> Tensor:
        """Latent of a surface: posterior mean, deterministic farthest points as queries.

        Args:
            points: [n, 3] float32 random surface points in random order, object frame; n >= N.
            normals: [n, 3] float32 outward unit normals.
        Returns:
            [N, c] float32 on the device.
        Raises:
            ConfigError: fewer points than tokens.
        """
        if len(points) < self.tokens:
            raise ConfigError(
                f"{len(points)} surface points cannot become {self.tokens} tokens: sample at least that many"
            )
        surface = torch.from_numpy(np.concatenate([points, normals], axis=1)).float()
        # As published: the queries are the farthest N among the first 4 N points; all points are context. Chosen on the
        # CPU: N small steps, each of which a GPU would take longer to start than to do.
        candidates = surface[: 4 * self.tokens]
        queries = candidates[farthest_points(candidates[:, :3], self.tokens)]
        mean, _ = self.vae.encode(queries[None].to(self.device), surface[None].to(self.device))
        return mean[0]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> DecodedLatents:
        """Implicit fields of latents [B, N, c]; the self-attention runs here, once."""
        return self.vae.decode(latents, self.memory.piece_bytes)

    def encode_images(self, images: np.ndarray) -> Tensor:
        """Tokens [F, P + 1, C] of a window's prepared images [F, S, S, 3] uint8; see ``ImageEncoder.encode``."""
        self.memory.bring(IMAGES)
        return self.encoder_one.encode(images)

    @torch.no_grad()
    def image_to_latent(
        self, image: np.ndarray, steps: int, guidance: float, seed: int, progress: StepProgress | None = None
    ) -> Tensor:
        """Stage 0: the latent [N, c] float32 of the object in one prepared image [S, S, 3] uint8."""
        self.memory.bring(FIRST_MESH)
        context = self.encoder_zero.encode(image[None])
        noise = torch.randn((self.tokens, self.channels), generator=torch.Generator().manual_seed(seed)).to(self.device)
        schedule = stage_zero_schedule(steps, self.stage_zero_shift)
        return denoise_image(self.stage_zero, noise[None], context, schedule, guidance, progress, passes=self.passes)[0]

    @torch.no_grad()
    def denoise(
        self,
        anchor_latent: Tensor,
        context: Tensor,
        config: RolloutConfig,
        seed: int,
        trace: PairTracer | None = None,
        progress: StepProgress | None = None,
    ) -> StageOne:
        """Stage I on a window: anchor latent [N, c], image tokens [F, P + 1, C]; see ``denoise_window``."""
        self.memory.bring(WINDOW)
        generator = torch.Generator().manual_seed(seed)
        start = source_noise(anchor_latent, context.shape[0], config.sampling.anchor_noise, generator)
        start[ANCHOR_FRAME] = anchor_latent.float()
        pieces, keep = self.memory.piece_bytes, self.memory.level < 2
        return denoise_window(
            self.stage_one, start, context, config, trace, progress,
            piece_bytes=pieces, keep_keys=keep, passes=self.passes,
        )  # fmt: skip


def default_weights() -> Path:
    """Folder of the small checkpoint shipped with the package: a demonstration and test model."""
    return Path(str(resources.files("attnchain_ros"))) / "weights" / "small"


def choose_device(name: str) -> torch.device:
    """'auto' takes CUDA where it is there, else the CPU.

    Raises:
        ConfigError: the device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}, wanted auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is not supported, wanted auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device {name!r} asked for, but this torch sees no CUDA device: use cpu or install a CUDA build of torch"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} asked for, but there are cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """'auto' is bfloat16 on CUDA (float16 on cards that do not have it) and float32 on the CPU.

    Raises:
        ConfigError: the name is unknown.
    """
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        # Since compute capability 8.0; older cards take bfloat16 too, but compute it slowly.
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if name not in DTYPES:
        raise ConfigError(f"unknown dtype {name!r}, wanted auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def load_backbone(
    folder: Path | str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    low_memory: str = "auto",
    kernels: KernelConfig | None = None,
) -> Backbone:
    """Load a checkpoint folder in the published layout (docs/method.md, "Backbone").

    Args:
        folder: holds ``TripoSG/``, ``ActionMesh/`` and optionally ``dinov2/``; None is the small checkpoint of the
            package.
        device: auto, cpu, cuda or cuda:N.
        dtype: auto, float32, bfloat16 or float16.
        low_memory: auto, off or on; see ``RolloutConfig.low_memory``.
        kernels: how Stage 0 and Stage I are computed; None = as ``KernelConfig`` has it.
    Raises:
        WeightsError: something is missing, of another shape or unknown; it is named.
        ConfigError: the device or dtype cannot be had.
    """
    where = default_weights() if folder is None else Path(folder)
    if not where.is_dir():
        raise WeightsError(f"no checkpoint folder at {where}: give the folder that holds TripoSG/ and ActionMesh/")
    chosen = choose_device(device)
    kind = choose_dtype(dtype, chosen)
    options = KernelConfig() if kernels is None else kernels
    level, room = first_level(where, chosen, kind, low_memory)
    target, host = weights.Target(chosen, kind), weights.Target(torch.device("cpu"), kind)
    vae = weights.load_vae(where, target)
    # What is brought before it works and need not be there at first goes to the host.
    stage_zero = weights.load_stage_zero(where, target if level < 1 else host)
    stage_one = weights.load_stage_one(where, target if level < 2 else host)
    channels = {"VAE": vae.sizes.channels, "Stage 0": stage_zero.sizes.channels, "Stage I": stage_one.sizes.channels}
    if len(set(channels.values())) > 1:
        raise WeightsError(f"{where}: the latent channels of the networks differ: {channels}")
    encoder_zero, encoder_one = load_encoders(where, target if level < 2 else host)
    for what, encoder, network in (("Stage 0", encoder_zero, stage_zero), ("Stage I", encoder_one, stage_one)):
        if encoder.width != network.sizes.context_width:
            raise WeightsError(
                f"{where}: {what} takes image tokens of width {network.sizes.context_width}, "
                f"its image encoder gives {encoder.width}"
            )
    extra = weights.read_json(where / weights.RECOMMENDED_FILE) if (where / weights.RECOMMENDED_FILE).is_file() else {}
    scheduler = where / weights.SCHEDULER_FILE
    shift = weights.config_number(weights.read_json(scheduler), scheduler, "shift", 1.0)
    networks = dict(zip(NETWORKS, (vae, stage_zero, stage_one, encoder_zero.model, encoder_one.model), strict=True))
    together = options.guidance == "together" or (options.guidance == "auto" and room)
    memory = DeviceMemory(networks, chosen, level, together)
    passes = Passes(options, lambda: memory.together)
    backbone = Backbone(
        name=str(extra.get("name", where.resolve().name)),
        checksum=checksum(where),
        folder=where,
        vae=vae,
        stage_zero=stage_zero,
        stage_one=stage_one,
        encoder_zero=encoder_zero,
        encoder_one=encoder_one,
        stage_zero_shift=shift,
        recommended=weights.recommended_options(extra, where / weights.RECOMMENDED_FILE),
        device=chosen,
        dtype=kind,
        memory=memory,
        passes=passes,
    )
    probe = torch.zeros(attention_shape(stage_one.sizes, chosen), device=chosen, dtype=kind)
    use_kernels([stage_zero, stage_one], options, probe, passes)
    logger.info("loaded checkpoint %s (%s) on %s in %s", backbone.name, backbone.checksum, chosen, kind)
    return backbone


def attention_shape(sizes: TransformerSizes, device: torch.device) -> tuple[int, int, int, int]:
    """[B, H, S, D] of Stage I's inflated attention; on a CPU, where nothing is measured, of a few rows."""
    rows = sizes.frames * (sizes.tokens + 1) if device.type == "cuda" else LEAST_POINTS
    return 1, sizes.heads, rows, sizes.width // sizes.heads


def first_level(folder: Path, device: torch.device, dtype: torch.dtype, low_memory: str) -> tuple[int, bool]:
    """How much leaves the device (``memory.py``), from what the checkpoint needs and the device has free; and whether
    there is room for both halves of guidance at a time.

    Raises:
        ConfigError: ``low_memory`` is no such word.   WeightsError: a file cannot be read.
    """
    if device.type != "cuda":
        return choose_level(low_memory, device, None, (0, 0)), False
    files = weights.VAE_FILE, weights.STAGE_ZERO_FILE, weights.STAGE_ONE_FILE
    vae, zero, one = (TensorFile(folder / name).elements * dtype.itemsize for name in files)
    encoder = folder / weights.IMAGE_ENCODER_ZERO
    images = TensorFile(encoder / "model.safetensors").elements * dtype.itemsize
    dino = weights.dino_sizes(encoder / "config.json")
    sizes = weights.stage_one_sizes((folder / weights.STAGE_ONE_FILE).with_name("config.json"))
    patches = (dino.image // dino.patch) ** 2
    window, both = (window_bytes(sizes, patches, dtype.itemsize, PIECE_BYTES, halves=count) for count in (1, 2))
    staying = vae + one + 2 * images
    free, _ = torch.cuda.mem_get_info(device)
    level = choose_level(low_memory, device, free, (staying + zero, staying + window))
    rest = staying + zero if level < 1 else staying
    return level, level < 2 and rest + both <= SPARE * free


def load_encoders(folder: Path, target: weights.Target) -> tuple[ImageEncoder, ImageEncoder]:
    """The image encoders of Stage 0 and Stage I: one object where both are the same, as in the published weights.

    Raises:
        WeightsError: one cannot be loaded.
    """
    first, own = folder / weights.IMAGE_ENCODER_ZERO, folder / weights.IMAGE_ENCODER_ONE
    processor = folder / weights.PREPROCESSOR_ZERO
    encoder = load_image_encoder(first, processor, target)
    if not own.is_dir():
        return encoder, encoder
    if same_encoder(first, processor, own):
        logger.info("%s holds the same weights as %s: loaded once", own, first)
        return encoder, encoder
    return encoder, load_image_encoder(own, own, target)


def same_encoder(first: Path, processor: Path, own: Path) -> bool:
    """Whether Stage I's encoder folder holds the weights and the preparation of Stage 0's."""
    files = first / "model.safetensors", own / "model.safetensors"
    if not all(file.is_file() for file in files) or files[0].stat().st_size != files[1].stat().st_size:
        return False
    names = "image_mean", "image_std", "size", "crop_size", "do_center_crop"
    prepared = [weights.read_json(place / "preprocessor_config.json") for place in (processor, own)]
    if any(prepared[0].get(name) != prepared[1].get(name) for name in names):
        return False
    return TensorFile(files[0]).fingerprint() == TensorFile(files[1]).fingerprint()


def checksum(folder: Path) -> str:
    """First 12 hex digits of a SHA-256 over the three network files, of large ones in part (``TensorFile``)."""
    digest = hashlib.sha256()
    for name in (weights.VAE_FILE, weights.STAGE_ZERO_FILE, weights.STAGE_ONE_FILE):
        TensorFile(folder / name).add_fingerprint(digest)
    return digest.hexdigest()[:12]
