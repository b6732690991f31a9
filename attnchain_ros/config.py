"""Every option of the method, one frozen dataclass per stage; the ROS parameters and the command line are built from
these.

Each field carries its unit, range and where its default comes from ("paper" or the reasoned choice of docs/method.md).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigError


def option(
    default: Any,
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field with its documentation and range in the metadata (keys: doc, unit, low, high, choices)."""
    return field(default=default, metadata={"doc": doc, "unit": unit, "low": low, "high": high, "choices": choices})


class Checked:
    """Base of the option dataclasses: checks every field against the range in its metadata."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            check_option(item, getattr(self, item.name), type(self).__name__)


def check_option(item: dataclasses.Field[Any], value: Any, owner: str) -> None:
    """Check one value against its field's range.

    Raises:
        ConfigError: names the field, the value and the range.
    """
    low, high, choices = (item.metadata.get(key) for key in ("low", "high", "choices"))
    where = f"{owner}.{item.name}"
    if choices is not None and value not in choices:
        raise ConfigError(f"{where} is {value!r}, wanted one of {', '.join(choices)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value != value:
            raise ConfigError(f"{where} is not a number")
        if low is not None and value < low:
            raise ConfigError(f"{where} is {value}, the least allowed is {low}")
        if high is not None and value > high:
            raise ConfigError(f"{where} is {value}, the most allowed is {high}")


@dataclass(frozen=True)
class SamplingConfig(Checked):
    """Flow sampling of Stage 0 (image to 3D) and Stage I (temporal)."""

    stage0_steps: int = option(50, "denoising steps of Stage 0", low=1, high=1000)
    stage0_guidance: float = option(7.0, "classifier-free guidance of Stage 0; 1 turns it off", low=0.0, high=50.0)
    steps: int = option(4, "denoising steps of Stage I (paper: 4)", low=1, high=1000)
    guidance: float = option(7.5, "classifier-free guidance of Stage I; 1 turns it off", low=0.0, high=50.0)
    unguided_last_steps: int = option(0, "last Stage I steps run without guidance, to save time", low=0, high=1000)
    shift: float = option(3.0, "time shift of the Stage I schedule, applied twice as published", low=0.01, high=100.0)
    anchor_noise: float = option(
        0.0,
        "share of the anchor latent in the source noise of Stage I (sqrt(1 - share^2) is noise shared by all frames); "
        "0 = independent noise per frame, as published; the small checkpoint uses 0.8",
        low=0.0,
        high=1.0,
    )
    seed: int = option(0, "seed of all noise", low=0)


@dataclass(frozen=True)
class ReadoutConfig(Checked):
    """Which attention is read as Z_a -> Z_f (Sec. 4.1 (2))."""

    source: str = option(
        "network",
        "'network' asks the networks' attention; 'none', not in the paper, asks no network, for objects that the "
        "weights do not know: a given mesh follows pixels and outlines alone (needs preset full and an anchor mesh)",
        choices=("network", "none"),
    )
    layers: str = option("all", "inflated layers averaged: 'all' or comma-separated indices such as '2,3,4'")
    heads: str = option("all", "heads averaged: 'all' or comma-separated indices")
    steps: str = option("last", "Stage I steps read: 'last', 'all' or comma-separated indices from 0")
    direction: str = option(
        "forward",
        "'forward' reads A_{Za->Zf} (paper), 'backward' reads A_{Zf->Za} transposed, 'both' their mean",
        choices=("forward", "backward", "both"),
    )
    renormalise: bool = option(True, "divide each row by its mass inside frame f, so that it is a distribution")
    patch_layers: str = option(
        "all", "layers whose cross-attention links tokens to patches (Eq. 6, 7): 'all' or comma-separated indices"
    )
    row_tile: int = option(2048, "anchor rows whose attention is computed at once, where memory allows", low=1)

    def check_mesh(self, given: bool) -> None:
        """Whether there is something to animate: without network only a mesh that was given.

        Raises:
            ConfigError: ``source`` is 'none', and the mesh is to be generated.
        """
        if self.source == "none" and not given:
            raise ConfigError(
                "readout.source is 'none', which animates a mesh that is given, and none was: give the object's mesh "
                "(--anchor, the node's anchor or ~/set_anchor), or leave readout.source at 'network'"
            )

    def check_network(self) -> None:
        """Whether the networks are to be asked.

        Raises:
            ConfigError: ``source`` is 'none'.
        """
        if self.source == "none":
            raise ConfigError("readout.source is 'none', so that no attention is traced: set it to 'network'")


@dataclass(frozen=True)
class ReinforceConfig(Checked):
    """Correspondence reinforcement during denoising (Eq. 5)."""

    mode: str = option(
        "off",
        "'gain' multiplies traced pairs and keeps each frame's mass, 'gain_row' renormalises the whole row, "
        "'literal' is Eq. 5 as printed, 'off' leaves the denoiser alone",
        choices=("off", "gain", "gain_row", "literal"),
    )
    beta: float = option(1.0, "strength of the gain: 1 + beta * confidence", low=0.0, high=1000.0)
    last_steps: int = option(
        2, "reinforced steps at the end of denoising (paper: the last two of four)", low=1, high=1000
    )
    top: int = option(32, "tokens considered on each side when a pair is traced", low=1)
    drop_quantile: float = option(0.25, "share of least confident landmarks left out", low=0.0, high=1.0)
    confidence_quantile: float = option(0.95, "quantile of the frame's confidence that counts as 1", low=0.01, high=1.0)


@dataclass(frozen=True)
class SurfaceConfig(Checked):
    """Extraction of the anchor mesh and of candidate surface points S_f."""

    grid: int = option(128, "cells along each axis of the finest grid for the anchor mesh", low=8, high=1024)
    candidate_grid: int = option(
        128, "cells along each axis of the finest grid for the candidate points of every frame", low=8, high=1024
    )
    coarse_grid: int = option(
        32,
        "cells along each axis of the first grid, half as many for candidates; grid / coarse_grid is a power of two",
        low=4,
    )
    n_surface: int = option(20000, "candidate points kept per frame", low=16)
    target_vertices: int = option(20000, "vertices of the anchor mesh after decimation (paper: about 20k)", low=64)
    component_share: float = option(
        0.05, "components below this share of the largest one's area are dropped", low=0.0, high=1.0
    )
    query_chunk: int = option(65536, "query points decoded at once", low=64)


@dataclass(frozen=True)
class MatchConfig(Checked):
    """From chain scores to matched points (Eq. 4) and tracks (Eq. 6)."""

    top: int = option(32, "surface points in N_{v,f}", low=1)
    radius: float = option(
        0.05, "points kept within this share of the bounding-box diagonal of the best one", low=0.0, high=2.0
    )
    temperature: float = option(0.05, "tau as a share of the best score", low=1e-6, high=100.0)
    tile: int = option(4096, "surface points scored at once", low=1)
    self_limit: float = option(
        0.0,
        "not in the paper: match landmarks in the anchor frame, too; those found farther off than this share of the "
        "diagonal are left out, and the others' matches are freed of their offset; 0 = off",
        low=0.0,
        high=2.0,
    )


@dataclass(frozen=True)
class AnimationConfig(Checked):
    """Landmarks, outliers, smoothing and skinning (Sec. 4.2, App. C and D)."""

    landmarks: int = option(1000, "landmarks on the anchor mesh (paper: 1000)", low=4)
    curvature_boost: float = option(
        2.0, "alpha of curvature-weighted farthest point sampling (paper: 2)", low=0.0, high=100.0
    )
    outlier_ratio: float = option(5.0, "a displacement above this many frame medians is an outlier (paper: 5)", low=1.0)
    outlier_floor: float = option(
        0.05, "displacements below this share of the diagonal never are outliers", low=0.0, high=2.0
    )
    outlier_limit: float = option(0.5, "displacements above this share of the diagonal always are", low=0.0, high=10.0)
    valid_share: float = option(
        0.95, "landmarks valid in fewer frames of the sequence are dropped (paper: 0.95)", low=0.0, high=1.0
    )
    keep_landmarks: int = option(64, "landmarks kept per connected component whatever their validity", low=1)
    sigma_landmark: float = option(
        1.5, "temporal Gaussian on landmark displacements (paper: 1.5)", unit="frames", low=0.0, high=100.0
    )
    sigma_final: float = option(
        1.0, "temporal Gaussian on vertex displacements (paper: 1.0)", unit="frames", low=0.0, high=100.0
    )
    k_nn: int = option(120, "landmarks that move a vertex (paper: 120)", low=1)
    sigma_geo: float = option(2.0, "Gaussian of the skinning weights in mean landmark spacings", low=0.01, high=100.0)


@dataclass(frozen=True)
class GateConfig(Checked):
    """Which camera poses are trusted: not in the paper (docs/method.md, "Poses that are doubted")."""

    enabled: bool = option(
        True,
        "poses that cannot be, and windows whose poses are doubtful, are marked invalid: covariance 1e6, no TF; false: "
        "whatever PnP accepts is handed on",
    )
    turn_deg_s: float = option(
        120.0, "the direction of view turns about the object by at most this in a second", unit="deg/s", low=1.0,
        high=10000.0,
    )  # fmt: skip
    zoom_s: float = option(
        4.0, "the distance to the object grows or shrinks by at most this factor in a second", low=1.01, high=1000.0
    )
    noise_deg: float = option(
        10.0, "what a good pose may be off by itself; every limit on turns is raised by it", unit="deg", low=0.0,
        high=180.0,
    )  # fmt: skip
    least_share: float = option(
        0.2, "a pose that a smaller share of the frame's matches agree with is not trusted", low=0.0, high=1.0
    )
    error_deg: float = option(
        20.0,
        "a window is not trusted if its first frame's outlines let the direction of view be off by more than this "
        "(standard deviation); 180 = never",
        unit="deg",
        low=0.1,
        high=180.0,
    )


@dataclass(frozen=True)
class CameraConfig(Checked):
    """Camera pose estimation (Eq. 8, App. C)."""

    estimate: bool = option(True, "estimate camera poses; without, tracks have no 3D camera coordinates")
    reprojection_px: float = option(8.0, "RANSAC inlier threshold in full-frame pixels (paper: 8)", unit="px", low=0.1)
    reprojection_patches: float = option(0.75, "the threshold is at least this share of a patch", low=0.0, high=10.0)
    iterations: int = option(400, "RANSAC iterations (paper: 400)", low=1)
    ransac_confidence: float = option(0.999, "RANSAC confidence (paper: 0.999)", low=0.5, high=0.999999)
    refine: str = option(
        "none",
        "what the mask adds to PnP, for objects that nothing hides: 'outline' lays the animated mesh onto the outlines "
        "of all masks of the window at once, 'silhouette' keeps the rotation and moves the camera until the mesh fills "
        "the mask's box, 'none' leaves the pose as PnP gives it (paper)",
        choices=("none", "silhouette", "outline"),
    )
    turn_deg: float = option(
        1.0,
        "refine outline: how far the camera may turn about the object from one frame to the next (standard deviation); "
        "0.1 for a camera that is fixed",
        unit="deg",
        low=0.01,
        high=90.0,
    )
    motion: str = option(
        "free",
        "how the camera moves: 'free' finds each frame's pose alone; 'known' takes the motion from TF "
        "(``fixed_frame``) and finds one pose of the object's frame for the window; 'background' takes the camera's "
        "turns from what stands still outside the mask. Where it is not known that is said, and it is 'free'",
        choices=("free", "known", "background"),
    )
    min_inliers: int = option(15, "a pose with fewer inliers is refused", low=4)
    object_size_m: float = option(
        0.0, "longest side of the object in metres; 0 = unknown, results are unitless", unit="m", low=0.0
    )
    gate: GateConfig = field(default_factory=GateConfig)


@dataclass(frozen=True)
class TrackConfig(Checked):
    """2D and 4D point tracks (Eq. 6, 9)."""

    route: str = option(
        "auto",
        "'mesh': pixel -> anchor mesh -> animated surface -> projection; 'patch': Eq. 6 between image patches; "
        "'auto': mesh where the frame has a camera pose, patch where it has none (said in the notes)",
        choices=("auto", "mesh", "patch"),
    )
    max_queries: int = option(1000, "tracked points when none are asked for: a regular grid over the first mask", low=1)
    visibility_margin: float = option(
        0.02, "a point deeper than the z-buffer by this share of the object is hidden", low=0.0, high=1.0
    )
    score_floor: float = option(
        0.3, "without a camera a point is visible if its score is above this share of the median", low=0.0, high=10.0
    )


LOW_MEMORY = ("auto", "off", "on")
"""Values of ``RolloutConfig.low_memory``."""


@dataclass(frozen=True)
class PartsConfig(Checked):
    """Second reads, rigid parts and pixels: not in the paper, only heard with ``preset: full``."""

    reads: str = option(
        "both",
        "'both': a window is read from the previous frame and from a keyframe; 'previous': from the previous frame",
        choices=("both", "previous"),
    )
    read_every: int = option(1, "the read from a keyframe is made in every n-th window", unit="windows", low=1, high=64)
    match_every: int = option(
        2, "the chain is followed in every n-th frame of a window; the frames between are smoothed over", low=1, high=8
    )
    rigid: bool = option(True, "landmarks move with rigid parts; without, there are no pixels either")
    patches: int = option(80, "pieces of surface that parts are merged from", low=1, high=2000)
    merge_ratio: float = option(
        2.5, "pieces are merged while it costs less than this many times their own median residual", low=0.0, high=100.0
    )
    memory: int = option(12, "windows whose motion says what is one part", unit="windows", low=1, high=100)
    robust_scale: float = option(
        0.08, "a landmark this far from its part's motion counts a quarter", unit="object units", low=1e-4, high=10.0
    )
    sigma_landmark: float = option(0.75, "temporal Gaussian on landmarks read", unit="frames", low=0.0, high=100.0)
    sigma_final: float = option(0.5, "temporal Gaussian on vertices", unit="frames", low=0.0, high=100.0)
    pixels: bool = option(True, "parts are laid onto pixels that optical flow follows; needs a camera pose")
    work_px: int = option(256, "side of the square in which pixels are followed; it is never enlarged", unit="px",
                          low=32, high=2048)  # fmt: skip
    keyframes: int = option(8, "pictures kept to look for points in and to read from; the first frame always", low=1,
                            high=8)  # fmt: skip
    key_turn_deg: float = option(
        25.0, "a frame becomes a keyframe if it shows the object turned by more than this from all kept ones",
        unit="deg", low=1.0, high=180.0,
    )  # fmt: skip
    cameras: bool = option(True, "camera poses are laid onto the followed pixels, too")
    tracks: bool = option(
        True, "2D tracks follow pixels where the flow holds and the mesh where not; false: as ``tracks.route`` says"
    )


@dataclass(frozen=True)
class KernelConfig(Checked):
    """How Stage 0 and Stage I are computed, with the same results but for rounding; read when weights are loaded."""

    attention: str = option(
        "auto",
        "kernel of fused attention; 'auto': on a GPU the fastest, measured when the weights are loaded, on a CPU "
        "torch's choice. One that does not work is said once, and torch chooses",
        choices=("auto", "flash", "efficient", "cudnn", "math"),
    )
    compile: str = option(
        "off",
        "'on': torch.compile for passes whose attention is not read (minutes at the first window); 'graphs': CUDA "
        "graphs besides. Where it does not work that is said once, and passes are computed without it",
        choices=("off", "on", "graphs"),
    )
    guidance: str = option(
        "auto",
        "both halves of classifier-free guidance in one batch ('together') or one after the other ('apart'); 'auto': "
        "together on a GPU whose memory has room for both",
        choices=("auto", "together", "apart"),
    )


@dataclass(frozen=True)
class RolloutConfig(Checked):
    """The whole method: one window after another."""

    preset: str = option(
        "paper",
        "'paper' is the paper's method; 'full' adds a second read, rigid parts, pixels and keyframes (``parts``), "
        "which end the drift over long sequences",
        choices=("paper", "full"),
    )
    frames: int = option(16, "frames of a window", low=2, high=256)
    anchor_handover: str = option(
        "reencode",
        "what anchors the next window: 'reencode' VAE-encodes the posed mesh, 'latent' passes the last frame's "
        "latent on",
        choices=("reencode", "latent"),
    )
    encode_points: int = option(16384, "surface points sampled when a mesh is encoded", low=64)
    anchor_rotation_deg: str = option(
        "0,0,0",
        "turn of a given anchor mesh into the canonical frame (y up, the camera looks along -z): angles about its "
        "x, y and z axis, applied in this order",
        unit="deg",
    )
    anchor_longest_side: float = option(
        2.0,
        "longest side of a given anchor mesh in the canonical frame (published: 2)",
        unit="object units",
        low=0.1,
        high=2.0,
    )
    crop_padding: float = option(
        0.1, "padding of the crop as a share of its longer side (published: 0.1)", low=0.0, high=1.0
    )
    low_memory: str = option(
        "auto",
        "read when the weights are loaded. 'auto': Stage 0 leaves the device after the first mesh, and where it has "
        "too little memory for that, the other networks leave while they have nothing to do; 'on': the latter from the "
        "start; 'off': everything stays. Results stay the same; on the CPU nothing leaves",
        choices=LOW_MEMORY,
    )
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    readout: ReadoutConfig = field(default_factory=ReadoutConfig)
    reinforce: ReinforceConfig = field(default_factory=ReinforceConfig)
    surface: SurfaceConfig = field(default_factory=SurfaceConfig)
    match: MatchConfig = field(default_factory=MatchConfig)
    animation: AnimationConfig = field(default_factory=AnimationConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    tracks: TrackConfig = field(default_factory=TrackConfig)
    parts: PartsConfig = field(default_factory=PartsConfig)
    kernels: KernelConfig = field(default_factory=KernelConfig)


def flatten(config: Any, prefix: str = "") -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Every option of a nested config by dotted name: ``{"sampling.steps": (field, value), ...}``."""
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if dataclasses.is_dataclass(value):
            found.update(flatten(value, f"{prefix}{item.name}."))
        else:
            found[prefix + item.name] = (item, value)
    return found


def replace(config: Any, changes: dict[str, Any]) -> Any:
    """A copy of a nested config with some dotted options changed.

    Raises:
        ConfigError: a name is unknown (the nearest known names are listed) or a value is outside its range.
    """
    own: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    names = {item.name for item in dataclasses.fields(config)}
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if head not in names or (rest and not dataclasses.is_dataclass(getattr(config, head))):
            raise ConfigError(f"unknown option {name!r}; {type(config).__name__} has {', '.join(sorted(names))}")
        stage = getattr(config, head)
        if not rest and dataclasses.is_dataclass(stage) and not isinstance(value, type(stage)):
            raise ConfigError(f"{head} is {value!r}, wanted options of {type(stage).__name__}, such as {head}.NAME")
        if rest:
            nested.setdefault(head, {})[rest] = value
        else:
            own[head] = value
    for head, inner in nested.items():
        own[head] = replace(getattr(config, head), inner)
    return dataclasses.replace(config, **own)


def parse_numbers(text: str, count: int, name: str) -> list[float]:
    """Comma-separated numbers.

    Args:
        text: as the user gave it.
        count: how many there must be.
        name: of the argument or option, for the error.
    Raises:
        ConfigError: not so many, or not finite.

    >>> parse_numbers("500,500,319.5,239.5", 4, "--intrinsics")
    [500.0, 500.0, 319.5, 239.5]
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"{name} is {text!r}, wanted {count} numbers separated by commas") from error
    if len(values) != count or not all(map(math.isfinite, values)):
        raise ConfigError(f"{name} is {text!r}, wanted {count} numbers separated by commas")
    return values
