"""One synthetic clip: a random articulated thing in motion, with everything about it known exactly.

The clips train the small backbone and serve as ground truth; a clip is a function of its seed and its configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from ...errors import ConfigError
from ...shapes import check_shape
from .cameras import crop_intrinsics, fitting_distance, orbit_cameras, pinhole_intrinsics
from .families import Family, find_family
from .model import Model
from .motion import FIT_RADIUS, PERIOD_FRAMES, Motion, Pose, fit_unit_sphere, ping_pong, take_frames
from .rays import hidden_points
from .render import Pictures, render_pictures
from .solids import nearest_surface, solid_distances, union_distance
from .surface import Mesh, build_mesh, pose_mesh, sample_triangles
from .surrounding import Room

Camera = Literal["static", "orbit", "sway"]
Surrounding = Literal["plain", "room"]

CAMERAS: tuple[Camera, ...] = ("static", "orbit", "sway")
SURROUNDINGS: tuple[Surrounding, ...] = ("plain", "room")

_STREAMS = ("model", "motion", "camera", "surface", "surrounding")
_WHITE = (255, 255, 255)

_BURIED = 1e-3
"""A tracked point may lie this deep inside another rigid part, object units."""

_RAISED = 2e-3
"""How far a tracked point is raised off its surface before it is asked whether it is seen, object units."""


@dataclass(frozen=True)
class ClipConfig:
    """What a clip contains and how its camera stands.

    Attributes:
        family: which kind of thing, a name of ``FAMILIES``.
        frames: number of frames, at least 1. The speed per frame does not depend on it, and a longer clip of the same
            seed starts with the shorter one.
        image_size: side of the square pictures, pixels.
        surface_points: tracked points.
        crop: make ``Clip.intrinsics`` (and so the pictures) those of the crop around the object that
            ``render_cropped`` makes over all frames, instead of the whole picture.
        crop_pad: margin of the crop on each side, relative to the longer side of the union box.
        yaw_range_deg: the camera's yaw is drawn within this many degrees of the front view (of a creature: its side).
        elevation_deg: smallest and largest angle of the camera above the horizontal plane.
        fov_deg: angle of view across the picture.
        distance_slack: the camera's distance is drawn between that from which the whole motion (240 frames) just fits
            the picture and (1 + this) times it.
        camera: "static"; "orbit" turns about y at a constant speed; "sway" changes yaw, elevation and distance like
            slow waves. A moving camera stands where the whole unit sphere fits the picture.
        orbit_deg_per_frame: the turn per frame of the camera "orbit".
        ping_pong_frames: 0, or n >= 2: frames and cameras run 0, 1, .. n - 1, n - 2, .. 1, 0, 1, .. (App. C).
        drift: amplitude of the object's slow shift along x and z, relative to a creature about two units long.
        background: RGB behind the object.
        surrounding: "plain" is that colour; "room" a textured room that stands still (``surrounding.Room``).
        mesh_spacing: grid cell of the mesh, object units.
    Raises:
        ConfigError: a value is outside its range, or family or camera is unknown.
    """

    family: str = "creature"
    frames: int = 16
    image_size: int = 64
    surface_points: int = 768
    crop: bool = False
    crop_pad: float = 0.1
    yaw_range_deg: float = 60.0
    elevation_deg: tuple[float, float] = (15.0, 20.0)
    fov_deg: float = 49.13
    distance_slack: float = 0.1
    camera: Camera = "static"
    orbit_deg_per_frame: float = 1.5
    ping_pong_frames: int = 0
    drift: float = 0.0
    background: tuple[int, int, int] = (255, 255, 255)
    mesh_spacing: float = 0.036
    surrounding: Surrounding = "plain"

    def __post_init__(self) -> None:
        find_family(self.family)
        if self.camera not in CAMERAS:
            raise ConfigError(f"camera is {self.camera!r}, must be one of {', '.join(CAMERAS)}: name one of them")
        if self.surrounding not in SURROUNDINGS:
            raise ConfigError(
                f"surrounding is {self.surrounding!r}, must be one of {', '.join(SURROUNDINGS)}: name one"
            )
        if self.ping_pong_frames < 0 or self.ping_pong_frames == 1:
            raise ConfigError(f"ping_pong_frames is {self.ping_pong_frames}, must be 0 (off) or at least 2: change it")
        for name in ("frames", "image_size", "surface_points"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1: raise it")
        for name, low, high in (
            ("crop_pad", 0.0, 10.0),
            ("yaw_range_deg", 0.0, 180.0),
            ("fov_deg", 5.0, 120.0),
            ("distance_slack", 0.0, 10.0),
            ("orbit_deg_per_frame", -30.0, 30.0),
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
    y up, the front (of a creature: its right side) faces +z; frame 0's bounding box is centred at the origin and the
    whole motion stays in the unit sphere, under one scale for the clip.

    Attributes:
        seed: what the clip was made from.
        config: what was asked for.
        model: the scaled thing in its neutral pose.
        pose: solids of every frame and the rigid motions of the parts.
        intrinsics: [3, 3] float64 pinhole K, pixel centres at whole numbers.
        camera_from_object: [F, 4, 4] float64, optical frame.
        light: [3] float64 unit direction towards the light, object frame.
    """

    seed: int
    config: ClipConfig
    model: Model
    pose: Pose
    intrinsics: np.ndarray
    camera_from_object: np.ndarray
    light: np.ndarray

    @cached_property
    def mesh(self) -> Mesh:
        """The neutral pose's mesh and its bone weights."""
        return build_mesh(self.model, self.config.mesh_spacing)

    @cached_property
    def vertices(self) -> np.ndarray:
        """[F, V, 3] float32 posed mesh, object frame; the triangles are the same in every frame."""
        return pose_mesh(self.mesh, self.pose)

    @property
    def faces(self) -> np.ndarray:
        """[T, 3] int32 triangles, counter-clockwise from outside: one closed piece, or one for every rigid part."""
        return self.mesh.faces

    @property
    def vertex_part(self) -> np.ndarray:
        """[V] int32 part of every vertex."""
        return self.mesh.part

    @property
    def part_colors(self) -> np.ndarray:
        """[P, 3] uint8 RGB base colour of every part."""
        return self.model.colors

    @cached_property
    def surface_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """``(triangle [P] int64, barycentric [P, 3] float32)`` of the tracked points, in random order.

        Drawn with equal chance per area of frame 0. Of rigid pieces only the outside counts: what is deeper than
        1e-3 inside another part in frame 0 is drawn anew.
        """
        rng = _stream(self.seed, "surface")
        wanted, found = self.config.surface_points, 0
        draws: list[tuple[np.ndarray, np.ndarray]] = []
        while found < wanted:
            triangle, weights = sample_triangles(self.vertices[0], self.faces, wanted, rng)
            if not self.model.soft:
                points = np.einsum("pcx,pc->px", self.vertices[0][self.faces[triangle]], weights)
                distances = solid_distances(points, self.pose.solids(0))
                distances[self.vertex_part[self.faces[triangle, 0]], np.arange(len(points))] = np.inf
                outside = distances.min(axis=0) > -_BURIED
                triangle, weights = triangle[outside], weights[outside]
            order = rng.permutation(len(triangle))
            draws.append((triangle[order], weights[order]))
            found += len(triangle)
        return np.concatenate([draw[0] for draw in draws])[:wanted], np.concatenate([draw[1] for draw in draws])[
            :wanted
        ]

    @cached_property
    def surface_points(self) -> np.ndarray:
        """[F, P, 3] float32 tracked points, carried by the mesh."""
        triangle, weights = self.surface_samples
        points: np.ndarray = np.einsum("fpcx,pc->fpx", self.vertices[:, self.faces[triangle]], weights)
        return points

    @cached_property
    def surface_normals(self) -> np.ndarray:
        """[F, P, 3] float32 unit outward normals of the analytic surface next to the tracked points."""
        return self._surface_feet[1]

    @cached_property
    def surface_visible(self) -> np.ndarray:
        """[F, P] bool: the tracked point is in the picture of ``intrinsics`` and nothing hides it from the camera.

        The point is laid onto the solids and raised by 2e-3 along the normal before its ray is met with all solids in
        closed form: what lies within 2e-3 behind an edge counts as visible, a surface that faces away does not.
        """
        feet, normals = self._surface_feet
        raised = feet.astype(np.float64) + _RAISED * normals
        camera = self.camera_from_object
        seen = np.einsum("fij,fpj->fpi", camera[:, :3, :3], raised) + camera[:, None, :3, 3]
        pixels = (seen @ self.intrinsics.T)[..., :2] / seen[..., 2:]
        inside = ((pixels >= -0.5) & (pixels < self.config.image_size - 0.5)).all(axis=-1)
        visible: np.ndarray = inside & ~hidden_points(raised, self.pose, camera)
        return visible

    @cached_property
    def _surface_feet(self) -> tuple[np.ndarray, np.ndarray]:
        """Tracked points laid onto the solids, and the normals there; a rigid point stays with its own part."""
        part = None if self.model.soft else self.vertex_part[self.faces[self.surface_samples[0], 0]]
        found = [
            nearest_surface(points, self.pose.solids(frame), part) for frame, points in enumerate(self.surface_points)
        ]
        return np.stack([feet for feet, _ in found]), np.stack([normals for _, normals in found])

    @cached_property
    def pictures(self) -> Pictures:
        """All pictures of the clip, through ``intrinsics``."""
        seen = render_pictures(
            self.model,
            self.pose,
            self.intrinsics,
            self.camera_from_object,
            self.config.image_size,
            self.config.background,
            self.light,
        )
        if self.config.surrounding == "plain":
            return seen
        room = Room.draw(_stream(self.seed, "surrounding"))
        return replace(seen, images=room.paint(seen.images, seen.masks, self.intrinsics, self.camera_from_object))

    @property
    def images(self) -> np.ndarray:
        """[F, S, S, 3] uint8 RGB, shaded, on ``config.background`` or in front of ``config.surrounding``."""
        return self.pictures.images

    @property
    def masks(self) -> np.ndarray:
        """[F, S, S] bool: the ray through the pixel's centre meets the object."""
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
    def instance_ids(self) -> np.ndarray:
        """[F, S, S] uint16: 0 on the background, 1 on the object."""
        return self.pictures.instance_ids

    @property
    def xyz(self) -> np.ndarray:
        """[F, S, S, 3] float32 visible surface in the object frame of the same frame, 0 on the background."""
        return self.pictures.xyz

    def sdf(self, frame: int, points: np.ndarray) -> np.ndarray:
        """Signed distance to the posed union of solids, negative inside.

        Args:
            frame: which frame.
            points: [n, 3], object frame.
        Returns:
            [n] float32; exact outside and near the surface, a bound where solids overlap.
        Raises:
            ShapeError: points is not [n, 3].
        """
        check_shape("points", points, "n 3")
        return union_distance(points, self.pose.solids(frame))


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
    return family_clip(seed, config, find_family(config.family))


def family_clip(seed: int, config: ClipConfig, family: Family) -> Clip:
    """As ``make_clip``, of a family that need not be one of ``FAMILIES``; that of ``config`` is not looked at."""
    if seed < 0:
        raise ConfigError(f"seed is {seed}, must be at least 0: take it from split_seed")
    neutral = family.draw_model(_stream(seed, "model"))
    motion = _with_drift(family.draw_motion(_stream(seed, "motion"), neutral), config.drift)
    scale, period = fit_unit_sphere(neutral, motion)
    times = _frame_times(config)
    pose = take_frames(period, times % PERIOD_FRAMES)
    cameras, light = _draw_view(_stream(seed, "camera"), config, times, period)
    if config.crop:
        intrinsics = crop_intrinsics(pose, cameras, config.image_size, config.crop_pad)
    else:
        intrinsics = pinhole_intrinsics(config.image_size, np.deg2rad(config.fov_deg))
    return Clip(seed, config, neutral.scaled(scale), pose, intrinsics, cameras, light)


def _frame_times(config: ClipConfig) -> np.ndarray:
    """[F] times of the frames, ascending or to and fro."""
    if config.ping_pong_frames:
        return ping_pong(config.ping_pong_frames, config.frames)
    return np.arange(config.frames)


def _with_drift(motion: Motion, drift: float) -> Motion:
    """The motion with a slow shift of the root along x (two cycles per period) and z (one)."""
    slides = motion.slides
    slides.amplitude[0, 0, [0, 2]] += drift
    slides.cycles[0, 0, [0, 2]] = 2, 1
    return motion


def _draw_view(
    rng: np.random.Generator, config: ClipConfig, times: np.ndarray, period: Pose
) -> tuple[np.ndarray, np.ndarray]:
    """Cameras [F, 4, 4] of the given times [F], and the direction towards the light."""
    yaw = np.deg2rad(rng.uniform(-1, 1) * config.yaw_range_deg)
    elevation = np.deg2rad(rng.uniform(*config.elevation_deg))
    slack = 1 + config.distance_slack * rng.uniform()
    light = np.array([rng.uniform(-0.5, 0.5), 1.0, rng.uniform(0.4, 0.9)])
    light /= np.linalg.norm(light)
    fov, still = np.deg2rad(config.fov_deg), np.zeros(len(times))
    if config.camera == "static":
        distance = fitting_distance(period, yaw, elevation, fov) * slack
        return orbit_cameras(yaw + still, elevation, distance), light
    # From here the unit sphere fits, whatever the angle.
    distance = FIT_RADIUS / np.sin(0.5 * fov) * slack
    if config.camera == "orbit":
        return orbit_cameras(yaw + np.deg2rad(config.orbit_deg_per_frame) * times, elevation, distance), light
    turn = 2 * np.pi * times / PERIOD_FRAMES
    waves = [np.sin(rng.integers(3, 7) * turn + rng.uniform(0, 2 * np.pi)) for _ in range(3)]
    yaws = yaw + np.deg2rad(rng.uniform(10, 25)) * waves[0]
    elevations = elevation + np.deg2rad(rng.uniform(3, 8)) * waves[1]
    return orbit_cameras(yaws, elevations, distance * (1 + rng.uniform(0.05, 0.12) * (1 + waves[2]))), light


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
    seen = render_pictures(clip.model, pose, intrinsics, cameras, size, _WHITE, clip.light)
    images = seen.images
    if rays_per_side > 1:
        fine_size = size * rays_per_side
        fine_intrinsics = crop_intrinsics(pose, cameras, fine_size, clip.config.crop_pad)
        fine = render_pictures(clip.model, pose, fine_intrinsics, cameras, fine_size, _WHITE, clip.light)
        cells = fine.images.reshape(len(chosen), size, rays_per_side, size, rays_per_side, 3)
        images = np.rint(cells.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return CroppedPictures(images, seen.masks, seen.depth, seen.parts, seen.xyz, seen.normals, intrinsics)
