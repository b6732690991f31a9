"""One synthetic clip: a random animal in motion, with everything about it known exactly.

The clips train the small backbone and serve as ground truth; a clip is a function of its seed and its configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..errors import ConfigError
from ..shapes import check_shape
from .capsules import nearest_surface, union_distance
from .creature import Creature, draw_creature
from .motion import PERIOD_FRAMES, Pose, draw_motion, fit_unit_sphere, take_frames
from .render import Pictures, crop_intrinsics, fitting_distance, orbit_cameras, pinhole_intrinsics, render_pictures
from .surface import Mesh, build_mesh, pose_mesh, sample_triangles

Split = Literal["train", "validation", "test"]

_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_SPLIT_BITS = 30
_STREAMS = ("creature", "motion", "camera", "surface")
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class ClipConfig:
    """What a clip contains and how its camera stands.

    Attributes:
        frames: number of frames, at least 1. The speed per frame does not depend on it, and a longer clip of the same
            seed starts with the shorter one.
        image_size: side of the square pictures, pixels.
        surface_points: tracked points.
        crop: make ``Clip.intrinsics`` (and so the pictures) those of the crop around the animal that
            ``render_cropped`` makes over all frames, instead of the whole picture.
        crop_pad: margin of the crop on each side, relative to the longer side of the union box.
        yaw_range_deg: the camera's yaw is drawn within this many degrees of the side view.
        elevation_deg: smallest and largest angle of the camera above the animal's plane.
        fov_deg: angle of view across the picture.
        distance_slack: the camera's distance is drawn between that from which the whole motion (240 frames) just fits
            the picture and (1 + this) times it.
        orbit_deg_per_frame: the camera's turn about y per frame; 0 is a static camera.
        drift: amplitude of the animal's slow shift along x and z, relative to an animal about two units long.
        background: RGB behind the animal.
        mesh_spacing: grid cell of the mesh, object units.
    """

    frames: int = 16
    image_size: int = 64
    surface_points: int = 768
    crop: bool = False
    crop_pad: float = 0.1
    yaw_range_deg: float = 60.0
    elevation_deg: tuple[float, float] = (15.0, 20.0)
    fov_deg: float = 49.13
    distance_slack: float = 0.1
    orbit_deg_per_frame: float = 0.0
    drift: float = 0.0
    background: tuple[int, int, int] = (255, 255, 255)
    mesh_spacing: float = 0.036

    def __post_init__(self) -> None:
        for name in ("frames", "image_size", "surface_points"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1: raise it")
        for name, low, high in (
            ("crop_pad", 0.0, 10.0),
            ("yaw_range_deg", 0.0, 180.0),
            ("fov_deg", 5.0, 120.0),
            ("distance_slack", 0.0, 10.0),
            ("drift", 0.0, 1.0),
            ("mesh_spacing", 0.01, 0.06),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}, must be in [{low}, {high}]: choose a value in between")
        if not -80.0 <= self.elevation_deg[0] <= self.elevation_deg[1] <= 80.0:
            raise ConfigError(f"elevation_deg is {self.elevation_deg}, must ascend in [-80, 80]: give (low, high)")


@dataclass(frozen=True)
class Clip:
    """A clip and its ground truth; arrays are made when first read and then kept.

    Axes: F frames, V vertices, T triangles, P tracked points, S picture side. The object frame is the canonical one:
    y up, the animal looks along +x, its right side faces +z; frame 0's bounding box is centred at the origin and the
    whole motion stays in the unit sphere, under one scale for the clip.

    Attributes:
        seed: what the clip was made from.
        config: what was asked for.
        creature: the scaled animal in its neutral pose.
        pose: capsules of every frame and the rigid motions of the parts.
        intrinsics: [3, 3] float64 pinhole K, pixel centres at whole numbers.
        camera_from_object: [F, 4, 4] float64, optical frame.
        light: [3] float64 unit direction towards the light, object frame.
    """

    seed: int
    config: ClipConfig
    creature: Creature
    pose: Pose
    intrinsics: np.ndarray
    camera_from_object: np.ndarray
    light: np.ndarray

    @cached_property
    def mesh(self) -> Mesh:
        """The neutral pose's mesh and its bone weights."""
        return build_mesh(self.creature, self.config.mesh_spacing)

    @cached_property
    def vertices(self) -> np.ndarray:
        """[F, V, 3] float32 posed mesh, object frame; the triangles are the same in every frame."""
        return pose_mesh(self.mesh, self.pose)

    @property
    def faces(self) -> np.ndarray:
        """[T, 3] int32 triangles of a closed surface in one piece, counter-clockwise from outside."""
        return self.mesh.faces

    @property
    def vertex_part(self) -> np.ndarray:
        """[V] int32 part of every vertex."""
        return self.mesh.part

    @property
    def part_colors(self) -> np.ndarray:
        """[13, 3] uint8 RGB base colour of every part."""
        return self.creature.colors

    @cached_property
    def surface_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """``(triangle [P] int64, barycentric [P, 3] float32)`` of the tracked points, in random order.

        Drawn with equal chance per area of frame 0.
        """
        rng = _stream(self.seed, "surface")
        triangle, weights = sample_triangles(self.vertices[0], self.faces, self.config.surface_points, rng)
        order = rng.permutation(len(triangle))
        return triangle[order], weights[order]

    @cached_property
    def surface_points(self) -> np.ndarray:
        """[F, P, 3] float32 tracked points, carried by the mesh."""
        triangle, weights = self.surface_samples
        points: np.ndarray = np.einsum("fpcx,pc->fpx", self.vertices[:, self.faces[triangle]], weights)
        return points

    @cached_property
    def surface_normals(self) -> np.ndarray:
        """[F, P, 3] float32 unit outward normals of the analytic surface next to the tracked points."""
        pose = self.pose
        return np.stack(
            [
                nearest_surface(points, pose.starts[frame], pose.ends[frame], pose.radii)[1]
                for frame, points in enumerate(self.surface_points)
            ]
        )

    @cached_property
    def pictures(self) -> Pictures:
        """All pictures of the clip, through ``intrinsics``."""
        return render_pictures(
            self.creature,
            self.pose,
            self.intrinsics,
            self.camera_from_object,
            self.config.image_size,
            self.config.background,
            self.light,
        )

    @property
    def images(self) -> np.ndarray:
        """[F, S, S, 3] uint8 RGB, shaded, on ``config.background``."""
        return self.pictures.images

    @property
    def masks(self) -> np.ndarray:
        """[F, S, S] bool: the ray through the pixel's centre meets the animal."""
        return self.pictures.masks

    @property
    def depth(self) -> np.ndarray:
        """[F, S, S] float32 camera z, 0 on the background."""
        return self.pictures.depth

    @property
    def parts(self) -> np.ndarray:
        """[F, S, S] int16 part index, -1 on the background."""
        return self.pictures.parts

    @property
    def xyz(self) -> np.ndarray:
        """[F, S, S, 3] float32 visible surface in the object frame of the same frame, 0 on the background."""
        return self.pictures.xyz

    def sdf(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Signed distance to the posed union of capsules, negative inside.

        Args:
            frame: which frame.
            points: [n, 3], object frame.
        Returns:
            [n] float32; exact outside and near the surface, a bound where capsules overlap.
        Raises:
            ShapeError: points is not [n, 3].
        """
        check_shape("points", points, "n 3")
        return union_distance(points, self.pose.starts[frame], self.pose.ends[frame], self.pose.radii)


@dataclass(frozen=True)
class CroppedPictures(Pictures):
    """Pictures of a crop, with the crop's own camera matrix.

    Attributes:
        intrinsics: [3, 3] float64 K of the crop, pixel centres at whole numbers; ``camera_from_object`` stays.
    """

    intrinsics: np.ndarray


def _stream(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each thing drawn, so that what is read first changes nothing."""
    return np.random.default_rng([seed, _STREAMS.index(name)])


def make_clip(seed: int, config: ClipConfig | None = None) -> Clip:
    """Make the clip of a seed.

    Args:
        seed: non-negative; ``split_seed`` gives seeds that keep training and test apart.
        config: sizes and camera; None is ``ClipConfig()``.
    Returns:
        the clip; pictures and mesh are made when first read.
    Raises:
        ConfigError: seed is negative.
    """
    config = ClipConfig() if config is None else config
    if seed < 0:
        raise ConfigError(f"seed is {seed}, must be at least 0: take it from split_seed")
    neutral = draw_creature(_stream(seed, "creature"))
    motion = draw_motion(_stream(seed, "motion"), config.drift)
    scale, period = fit_unit_sphere(neutral, motion)
    frames = np.arange(config.frames)
    pose = take_frames(period, frames % PERIOD_FRAMES)

    rng = _stream(seed, "camera")
    yaw = np.deg2rad(rng.uniform(-1, 1) * config.yaw_range_deg + config.orbit_deg_per_frame * frames)
    elevation = np.deg2rad(rng.uniform(*config.elevation_deg))
    fov = np.deg2rad(config.fov_deg)
    distance = fitting_distance(period, np.unique(yaw), elevation, fov) * (1 + config.distance_slack * rng.uniform())
    cameras = orbit_cameras(yaw, elevation, distance)
    light = np.array([rng.uniform(-0.5, 0.5), 1.0, rng.uniform(0.4, 0.9)])
    light /= np.linalg.norm(light)

    if config.crop:
        intrinsics = crop_intrinsics(pose, cameras, config.image_size, config.crop_pad)
    else:
        intrinsics = pinhole_intrinsics(config.image_size, fov)
    return Clip(seed, config, neutral.scaled(scale), pose, intrinsics, cameras, light)


def render_cropped(
    clip: Clip, frames: np.ndarray | list[int] | range, size: int, rays_per_side: int = 1
) -> CroppedPictures:
    """Render a window as the image pipeline crops it: union box of the outlines, padded square, on white.

    Rays go through the crop's own pixels, so the pictures are sharp at any size. The box is that of the exact
    outlines over the given frames, the limit of the masks' box for large pictures.

    Args:
        clip: the clip; its ``config.crop_pad`` is the margin.
        frames: [F] frame numbers of the window.
        size: side of the square pictures, pixels.
        rays_per_side: colours are the mean over this many squared rays a pixel, as after shrinking a larger picture;
            mask, depth, part and xyz are always those of the one ray through the pixel's centre.
    Raises:
        ConfigError: frames is empty or outside the clip, or size or rays_per_side is below 1.
    """
    chosen = np.asarray(frames, dtype=np.int64)
    if chosen.ndim != 1 or chosen.size == 0 or chosen.min() < 0 or chosen.max() >= clip.config.frames:
        raise ConfigError(
            f"frames is {chosen.tolist()}, must be a list in [0, {clip.config.frames - 1}]: name frames of the clip"
        )
    for name, value in (("size", size), ("rays_per_side", rays_per_side)):
        if value < 1:
            raise ConfigError(f"{name} is {value}, must be at least 1: raise it")
    pose, cameras = take_frames(clip.pose, chosen), clip.camera_from_object[chosen]
    intrinsics = crop_intrinsics(pose, cameras, size, clip.config.crop_pad)
    seen = render_pictures(clip.creature, pose, intrinsics, cameras, size, _WHITE, clip.light)
    images = seen.images
    if rays_per_side > 1:
        fine_size = size * rays_per_side
        fine_intrinsics = crop_intrinsics(pose, cameras, fine_size, clip.config.crop_pad)
        fine = render_pictures(clip.creature, pose, fine_intrinsics, cameras, fine_size, _WHITE, clip.light)
        cells = fine.images.reshape(len(chosen), size, rays_per_side, size, rays_per_side, 3)
        images = np.rint(cells.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return CroppedPictures(images, seen.masks, seen.depth, seen.parts, seen.xyz, intrinsics)


def split_seed(split: Split, index: int) -> int:
    """Seed of the index-th clip of a split; no two splits share a seed.

    Args:
        split: "train", "validation" or "test".
        index: in [0, 2^30).
    Raises:
        ConfigError: unknown split or index out of range.

    >>> split_seed("train", 5), split_seed("test", 5) - split_seed("validation", 5) == 2**30
    (5, True)
    """
    if split not in _SPLITS:
        raise ConfigError(f"split is {split!r}, must be one of {list(_SPLITS)}: name one of them")
    if not 0 <= index < 1 << _SPLIT_BITS:
        raise ConfigError(f"index is {index}, must be in [0, {(1 << _SPLIT_BITS) - 1}]: choose a value in between")
    return (_SPLITS.index(split) << _SPLIT_BITS) + index
