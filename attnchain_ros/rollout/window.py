"""What goes into a window of the rollout and what comes out: plain dataclasses of numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import InputError
from ..notes import Note
from ..shapes import check_shape


@dataclass(frozen=True)
class Window:
    """Consecutive camera frames with what is known about them.

    Attributes:
        images: [F, H, W, 3] uint8 RGB, full camera frames.
        masks: [F, H, W] bool, the object.
        stamps_ns: [F] int64, nanoseconds, strictly increasing; the images' own.
        intrinsics: [3, 3] float64 pinhole K in full-frame pixels (distortion already removed), or None if unknown.
        depth_m: [F, H, W] float32 metres, 0 = unknown; or None.
        queries_px: [Q, 2] float32 pixels of the anchor frame to track, or None for a grid over the mask.
            Only read in the first window after a reset.
        fixed_from_camera: [F, 4, 4] float64, metres: the camera's poses in a frame that stands still, such as TF tells
            them; NaN in frames for which it does not. None = nobody was asked.
    Raises:
        ShapeError: sizes disagree.   InputError: stamps are not increasing.
    """

    images: np.ndarray
    masks: np.ndarray
    stamps_ns: np.ndarray
    intrinsics: np.ndarray | None = None
    depth_m: np.ndarray | None = None
    queries_px: np.ndarray | None = None
    fixed_from_camera: np.ndarray | None = None

    def __post_init__(self) -> None:
        axes = check_shape("images", self.images, "F H W 3")
        check_shape("masks", self.masks, "F H W", "one mask per frame, of the image's size", **axes)
        check_shape("stamps_ns", self.stamps_ns, "F", **axes)
        if self.intrinsics is not None:
            check_shape("intrinsics", self.intrinsics, "3 3")
        if self.depth_m is not None:
            check_shape("depth_m", self.depth_m, "F H W", "publish depth registered to the image", **axes)
        if self.queries_px is not None:
            check_shape("queries_px", self.queries_px, "Q 2")
        if self.fixed_from_camera is not None:
            check_shape("fixed_from_camera", self.fixed_from_camera, "F 4 4", **axes)
        if self.images.dtype != np.uint8 or self.masks.dtype != np.bool_:
            raise InputError(f"images are {self.images.dtype} and masks {self.masks.dtype}, wanted uint8 and bool")
        steps = np.diff(self.stamps_ns)
        if axes["F"] == 0 or (steps <= 0).any():
            where = int(np.argmax(steps <= 0)) if len(steps) else 0
            raise InputError(f"a window needs frames with increasing stamps; frame {where} is not before the next")

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return int(self.images.shape[0])


@dataclass(frozen=True)
class PointTracks:
    """Tracked points of one window; ids are stable across windows until a reset.

    Attributes:
        ids: [Q] int64.
        points_px: [F, Q, 2] float32, full-frame pixels; NaN = absent.
        points_object: [F, Q, 3] float32, object frame, object units; NaN = absent (the point never met the mesh).
        points_camera: [F, Q, 3] float32, optical frame of each frame's own camera, object units; NaN = absent, no pose
            or one that is not trusted.
        visible: [F, Q] bool.
        confidence: [F, Q] float32 in [0, 1].
        colors: [Q, 3] uint8 RGB of the query pixel.
        face: [Q] int32 triangle of the anchor mesh that carries the point, -1 = none.
        barycentric: [Q, 3] float32 weights inside that triangle; zeros where face is -1.
    """

    ids: np.ndarray
    points_px: np.ndarray
    points_object: np.ndarray
    points_camera: np.ndarray
    visible: np.ndarray
    confidence: np.ndarray
    colors: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray


@dataclass(frozen=True)
class CameraTrack:
    """A camera pose for every frame of a window.

    Attributes:
        intrinsics: [3, 3] float64 K in full-frame pixels (given or assumed).
        intrinsics_given: False where the default focal length was assumed.
        camera_from_object: [F, 4, 4] float64, object units.
        valid: [F] bool, False where the pose was refused and the last good one (or identity, if there never was one)
            kept, and where a pose was found that is not trusted (``rollout.trusting``).
        inliers: [F] int32 correspondences that agree with the pose.
        reprojection_px: [F] float32 median reprojection error of the inliers, NaN without one.
        covariance: [F, 6, 6] float64 of a small shift x, y, z (object units squared) and small turns about x, y, z
            (radians squared) of the object, all in the optical frame; None = not known. It says nothing where ``valid``
            is False.
        matches: [F] int32 correspondences that the pose was looked for in; None = it was found in another way.
    """

    intrinsics: np.ndarray
    intrinsics_given: bool
    camera_from_object: np.ndarray
    valid: np.ndarray
    inliers: np.ndarray
    reprojection_px: np.ndarray
    covariance: np.ndarray | None = None
    matches: np.ndarray | None = None

    @property
    def shares(self) -> np.ndarray:
        """[F] inliers as a share of each frame's ``matches``; NaN where these are not known, or there were none."""
        if self.matches is None:
            return np.full(len(self.inliers), np.nan)
        shares: np.ndarray = np.where(self.matches > 0, self.inliers / np.maximum(self.matches, 1), np.nan)
        return shares

    @property
    def trusted_covariance(self) -> np.ndarray:
        """[F, 6, 6] ``covariance``; NaN where it is not known or says nothing."""
        if self.covariance is None:
            return np.full((len(self.valid), 6, 6), np.nan)
        trusted: np.ndarray = np.where(self.valid[:, None, None], self.covariance, np.nan)
        return trusted


@dataclass(frozen=True)
class WindowLatents:
    """The latents at both ends of a window and how its attention links them, for measuring drift (Fig. 2b).

    Attributes:
        anchor: [N, c] float32 latent of the anchor frame.
        last: [N, c] float32 latent of the window's last frame.
        match: [N] int64 token of the last frame that each anchor token attends to most (A_{Za->Zf}).
    """

    anchor: np.ndarray
    last: np.ndarray
    match: np.ndarray


@dataclass(frozen=True)
class WindowResult:
    """Everything the rollout found in one window.

    Attributes:
        index: number of the window since the last reset, from 0.
        topology_id: changes only when the anchor mesh is replaced (reset).
        stamps_ns: [F] int64, the frames' own.
        shared_first: True if frame 0 is the previous window's last frame (already reported there).
        vertices: [F, V, 3] float32, object frame, object units.
        faces: [T, 3] int32, counter-clockwise seen from outside; the same array in every window.
        vertex_colors: [V, 3] uint8 RGB.
        confidence: [F] float32 in [0, 1]: share of landmarks whose match was kept.
        landmark_vertices: [K] int64 vertex of each landmark.
        landmarks: [F, K, 3] float32 smoothed landmark positions.
        landmark_valid: [F, K] bool, False where the raw match was an outlier.
        tracks: point tracks.
        camera: camera poses.
        scale: metres per object unit; 1.0 when not metric.
        metric: whether ``scale`` is in metres.
        user_from_object: [4, 4] float64, takes results into the units and frame of an anchor mesh given by the user;
            the
            identity otherwise.
        silhouette_iou: overlap of the posed anchor's silhouette with the first mask, NaN without a pose.
        timings_s: seconds by stage.
        notes: what was assumed or went wrong, for the user.
        latents: only if the rollout was asked to keep them.
        fixed_from_camera: the window's own (``Window``).
    """

    index: int
    topology_id: int
    stamps_ns: np.ndarray
    shared_first: bool
    vertices: np.ndarray
    faces: np.ndarray
    vertex_colors: np.ndarray
    confidence: np.ndarray
    landmark_vertices: np.ndarray
    landmarks: np.ndarray
    landmark_valid: np.ndarray
    tracks: PointTracks
    camera: CameraTrack
    scale: float
    metric: bool
    silhouette_iou: float
    user_from_object: np.ndarray = field(default_factory=lambda: np.eye(4))
    timings_s: dict[str, float] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    latents: WindowLatents | None = None
    fixed_from_camera: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return int(self.vertices.shape[0])

    @property
    def file_from_object(self) -> np.ndarray:
        """[4, 4] float64 to what meshes are written in: a given mesh's own frame and units, else metres where known."""
        user = np.asarray(self.user_from_object, np.float64)
        if (user != np.eye(4)).any() or not self.metric:
            return user
        return np.diag([self.scale, self.scale, self.scale, 1.0])


def hide_untrusted(tracks: PointTracks, found: CameraTrack, trusted: CameraTrack) -> PointTracks:
    """The tracks without places in cameras whose pose was found but is not trusted."""
    doubtful = found.valid & ~trusted.valid
    if not doubtful.any():
        return tracks
    points = tracks.points_camera.copy()
    points[doubtful] = np.nan
    return replace(tracks, points_camera=points)
