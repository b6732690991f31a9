"""What was found and what is true, as plain arrays over the frames of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...camera.tracks3d import carry_points, to_camera
from ...errors import InputError
from ...rollout.window import WindowResult
from ...shapes import check_shape
from ..synthetic import Clip


@dataclass(frozen=True)
class FoundMotion:
    """The result of a sequence, each frame once.

    Attributes:
        stamps_ns: [F] int64.
        vertices: [F, V, 3] float32 object frame of the result; faces: [T, 3].
        camera_from_object: [F, 4, 4] float64; camera_valid: [F] bool.
        points_px: [F, Q, 2] float32 tracks, NaN = absent; points_visible: [F, Q] bool.
        points_object: [F, Q, 3] float32 the same in 3D, object frame, NaN = absent.
        points_confidence: [F, Q] float32 how likely each track is right, in 0 .. 1; None = not known.
    """

    stamps_ns: np.ndarray
    vertices: np.ndarray
    faces: np.ndarray
    camera_from_object: np.ndarray
    camera_valid: np.ndarray
    points_px: np.ndarray
    points_visible: np.ndarray
    points_object: np.ndarray
    points_confidence: np.ndarray | None = None

    def __post_init__(self) -> None:
        axes = check_shape("vertices", self.vertices, "F V 3")
        check_shape("stamps_ns", self.stamps_ns, "F", **axes)
        check_shape("camera_from_object", self.camera_from_object, "F 4 4", **axes)
        check_shape("camera_valid", self.camera_valid, "F", **axes)
        axes = check_shape("points_px", self.points_px, "F Q 2", **axes)
        check_shape("points_visible", self.points_visible, "F Q", **axes)
        check_shape("points_object", self.points_object, "F Q 3", **axes)
        if self.points_confidence is not None:
            check_shape("points_confidence", self.points_confidence, "F Q", **axes)

    @property
    def points_world(self) -> np.ndarray:
        """[F, Q, 3] float32 tracks in the first frame's camera, as in Eq. 9; all NaN if it has no pose."""
        if not self.camera_valid[0]:
            return np.full_like(self.points_object, np.nan)
        return to_camera(self.points_object, self.camera_from_object[0])


@dataclass(frozen=True)
class TrueMotion:
    """The truth about a sequence.

    Attributes:
        vertices: [F, V, 3] object frame; faces: [T, 3].
        face: [P] and barycentric: [P, 3] of points drawn with equal chance per area of frame 0.
        intrinsics: [3, 3]; camera_from_object: [F, 4, 4]; size: height and width of the pictures.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray
    intrinsics: np.ndarray
    camera_from_object: np.ndarray
    size: tuple[int, int]

    @property
    def points(self) -> np.ndarray:
        """[F, P, 3] float32 the drawn points in every frame."""
        return carry_points(self.vertices, self.faces, self.face, self.barycentric)


def join_windows(results: Sequence[WindowResult]) -> FoundMotion:
    """Windows of one rollout as one sequence; a frame that two windows share is taken from the first.

    Raises:
        InputError: no window, or the topology changes.   ShapeError: the tracks change.
    """
    if not results:
        raise InputError("there is no window to evaluate")
    ids = {result.topology_id for result in results}
    if len(ids) > 1:
        raise InputError(f"the windows have topologies {sorted(ids)}: evaluate what lies between two resets")
    fresh = [slice(1 if result.shared_first and number else 0, None) for number, result in enumerate(results)]

    def join(parts: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([part[rows] for part, rows in zip(parts, fresh, strict=True)])

    return FoundMotion(
        stamps_ns=join([result.stamps_ns for result in results]),
        vertices=join([result.vertices for result in results]),
        faces=results[0].faces,
        camera_from_object=join([result.camera.camera_from_object for result in results]),
        camera_valid=join([result.camera.valid for result in results]),
        points_px=join([result.tracks.points_px for result in results]),
        points_visible=join([result.tracks.visible for result in results]),
        points_object=join([result.tracks.points_object for result in results]),
        points_confidence=join([result.tracks.confidence for result in results]),
    )


def clip_motion(clip: Clip) -> TrueMotion:
    """The truth of a synthetic clip."""
    face, barycentric = clip.surface_samples
    side = clip.config.image_size
    return TrueMotion(
        clip.vertices, clip.faces, face, barycentric, clip.intrinsics, clip.camera_from_object, (side, side)
    )
