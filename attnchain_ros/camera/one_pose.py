"""One pose of the object's frame for a whole window whose camera motion is known.

Not in the paper. Every frame's outline (or its matches) pulls at the same pose, through the camera as it stood there,
so that a moving camera sees the object from several sides. The mesh is known best where the window starts, and errs
more from frame to frame; frames count accordingly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..shapes import check_shape
from .motion import CameraMotion
from .outline import (
    ROUNDS,
    Misfit,
    MovingSurface,
    Outlines,
    PosedMesh,
    fall_off,
    frame_equations,
    motion_jacobian,
    rim_misfit,
    round_gate,
)
from .tracks3d import project

FADING = 0.3
"""What a frame says counts exp(-this) times as much as what the frame before says: the mesh was known best there."""

_TRUST_DEG = 20.0
"""How far the pose that is started from may be wrong."""

_HELD_DEG = 1.0
"""How far the object's frame may turn, and shift by distance, from window to window (standard deviation)."""

_PLACE_STEP = np.deg2rad(1.0)
"""Where only turns are known: how far the object's middle moves from frame to frame, shares of its distance."""

_PLACE_GATE = 0.015
"""Least gate there: a frame whose mesh does not fit by more than this must still find its place."""

_MOST_TURN = 0.2
"""Radians that the pose may turn in one round."""

Pull = Callable[[np.ndarray, float], tuple[list[Misfit], list[Misfit]]]
"""What poses [F, 4, 4] miss, frame by frame, at a gate (share of the object's size): two parts for each frame."""


def outline_pull(mesh: tuple[np.ndarray, np.ndarray], intrinsics: np.ndarray, masks: np.ndarray) -> Pull:
    """What outlines of masks [F, H, W] say of a mesh's pose: vertices [F, V, 3], faces [T, 3]; K of their pixels."""
    vertices, faces = mesh
    axes = check_shape("vertices", vertices, "F V 3")
    check_shape("masks", masks, "F H W", F=axes["F"])
    surface, outlines, middle = MovingSurface.of(vertices, faces), Outlines.of(masks), middle_of(vertices)
    areas = np.asarray(masks).sum(axis=(1, 2))
    size = float(np.sqrt(areas[areas > 0].mean())) if areas.any() else 1.0

    def pull(poses: np.ndarray, gate: float) -> tuple[list[Misfit], list[Misfit]]:
        posed = PosedMesh(surface.rim(poses), surface.body(poses), _centres(poses, middle))
        edge, over = rim_misfit(posed, intrinsics, outlines, size, gate * size)
        return edge.by_frame(len(poses)), over.by_frame(len(poses))

    return pull


def match_pull(
    matches: Sequence[tuple[np.ndarray, np.ndarray]], intrinsics: np.ndarray, middle: np.ndarray, threshold_px: float
) -> Pull:
    """What matches say of a pose.

    Args:
        matches: of every frame, object points [n, 3] and their pixels [n, 2].
        intrinsics: [3, 3].   middle: [3] of the object, object frame.
        threshold_px: error of a match that counts a quarter.
    """

    def pull(poses: np.ndarray, gate: float) -> tuple[list[Misfit], list[Misfit]]:
        found = []
        for frame, ((points, pixels), pose) in enumerate(zip(matches, poses, strict=True)):
            seen = points @ pose[:3, :3].T + pose[:3, 3]
            ahead = seen[:, 2] > 0
            seen, centre = seen[ahead], pose[:3, :3] @ middle + pose[:3, 3]
            away = project(intrinsics, seen) - pixels[ahead] if len(seen) else np.zeros((0, 2))
            weight = fall_off(np.linalg.norm(away, axis=1), threshold_px)
            rows = [
                motion_jacobian(seen, np.broadcast_to(axis, (len(seen), 2)), centre, intrinsics) for axis in np.eye(2)
            ]
            found.append(
                Misfit(away.T.ravel(), np.concatenate(rows), np.tile(weight, 2), np.full(2 * len(seen), frame))
            )
        nothing = Misfit(np.zeros(0), np.zeros((0, 6)), np.zeros(0), np.zeros(0, np.int64))
        return found, [nothing] * len(found)

    return pull


def middle_of(vertices: np.ndarray) -> np.ndarray:
    """[3] float64 the middle of the first frame's box of vertices [F, V, 3]."""
    middle: np.ndarray = 0.5 * (vertices[0].min(axis=0) + vertices[0].max(axis=0)).astype(np.float64)
    return middle


def fit_one_pose(
    starts: np.ndarray, first: int, motion: CameraMotion, pull: Pull, middle: np.ndarray, before: np.ndarray | None
) -> np.ndarray:
    """Poses of all frames that follow from one pose of the object's frame.

    Gauss-Newton on that pose: what every frame's picture says (``pull``), the pose that was started from
    (``_TRUST_DEG``), and, where windows share a frame, the pose of the window before (``_HELD_DEG``). Where only the
    camera's turns are known, the turn of the object's frame is one for all frames, and each frame has a place of its
    own, held by its neighbours.

    Args:
        starts: [F, 4, 4] camera_from_object of every frame by itself.
        first: the frame whose pose is started from: the first one that has one.
        motion: of the camera.   pull: what the pictures say.
        middle: [3] of the object, object frame.
        before: [4, 4] camera_from_object of the window before in frame 0, which both share; None = unknown.
    Returns:
        [F, 4, 4] float64 rigid; ``inverse(motion) @ pose`` is the same in every frame (without shifts: its rotation).
    Raises:
        ShapeError: sizes disagree.
    """
    check_shape("starts", starts, "F 4 4", F=motion.frames)
    check_shape("middle", middle, "3")
    centres = _centres(np.asarray(starts, np.float64), middle)
    problem = _OnePose(motion, pull, middle, motion.poses_from(starts[first], first, centres, middle), first, before)
    poses = problem.start
    for number in range(ROUNDS):
        gate = round_gate(number)
        poses = problem.improve(poses, gate if motion.shifts is not None else max(gate, _PLACE_GATE))
        if not np.isfinite(poses).all():
            return problem.start
    return poses


@dataclass(frozen=True)
class _OnePose:
    """The window's data; see ``fit_one_pose``.

    A step is a turn about the object's middle and a shift, both along the axes of the fixed frame; without known shifts
    the turn, then a shift for each frame along its camera's axes.
    """

    motion: CameraMotion
    pull: Pull
    middle: np.ndarray
    start: np.ndarray
    first: int
    before: np.ndarray | None

    def improve(self, poses: np.ndarray, gate: float) -> np.ndarray:
        """One Gauss-Newton step."""
        whole = self.motion.shifts is not None
        size = 6 if whole else 3 + 3 * self.motion.frames
        matrix, right = np.zeros((size, size)), np.zeros(size)
        for frame, parts in enumerate(zip(*self.pull(poses, gate), strict=True)):
            add, push = frame_equations(*parts)
            lead = self.lead(frame)
            weight = self.weight(frame)
            matrix += weight * lead.T @ add @ lead
            right += weight * lead.T @ push
        holds = [self._held(poses, self.start[self.first], self.first, (np.deg2rad(_TRUST_DEG), np.inf))]
        if self.before is not None:
            far = float(np.linalg.norm(_centres(self.before[None], self.middle)))
            holds.append(self._held(poses, self.before, 0, (np.deg2rad(_HELD_DEG), np.deg2rad(_HELD_DEG) * far)))
        for add, push in holds:
            matrix += add
            right += push
        if not whole:
            self._hold_places(poses, matrix, right)
        # The last term is for frames that nothing is seen of.
        damped = matrix + 1e-3 * np.diag(np.diag(matrix)) + 1e-9 * np.eye(size)
        return self.moved(poses, -np.linalg.solve(damped, right))

    def weight(self, frame: int) -> float:
        """How much a frame counts."""
        return float(np.exp(-FADING * max(frame - self.first, 0)))

    def lead(self, frame: int) -> np.ndarray:
        """[6, size] from a step to the turn and shift that this frame's camera sees."""
        turn = self.motion.turns[frame]
        found = np.zeros((6, 6 if self.motion.shifts is not None else 3 + 3 * self.motion.frames))
        found[:3, :3] = turn
        if self.motion.shifts is not None:
            found[3:, 3:] = turn
        else:
            found[3:, 3 + 3 * frame : 6 + 3 * frame] = np.eye(3)
        return found

    def moved(self, poses: np.ndarray, step: np.ndarray) -> np.ndarray:
        """The poses after a step; the motion between them is kept exactly."""
        turn = step[:3] * min(1.0, _MOST_TURN / max(float(np.linalg.norm(step[:3])), 1e-12))
        frame = self.first
        seen = self.motion.turns[frame]
        pose = np.eye(4)
        pose[:3, :3] = seen @ Rotation.from_rotvec(turn).as_matrix() @ seen.T @ poses[frame, :3, :3]
        centres = _centres(poses, self.middle)
        centres += seen @ step[3:] if self.motion.shifts is not None else step[3:].reshape(-1, 3)
        pose[:3, 3] = centres[frame] - pose[:3, :3] @ self.middle
        return self.motion.poses_from(pose, frame, centres, self.middle)

    def _held(
        self, poses: np.ndarray, towards: np.ndarray, frame: int, sigmas: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """What pulls a frame towards a pose, which may be off by ``sigmas``: radians, and object units."""
        away = _centres(np.stack([poses[frame], towards]), self.middle)
        turned = Rotation.from_matrix(poses[frame, :3, :3] @ towards[:3, :3].T).as_rotvec()
        lead, strength = self.lead(frame), np.repeat(sigmas, 3) ** -2.0
        return lead.T @ (strength[:, None] * lead), lead.T @ (strength * np.concatenate([turned, away[0] - away[1]]))

    def _hold_places(self, poses: np.ndarray, matrix: np.ndarray, right: np.ndarray) -> None:
        """Neighbouring frames hold each other's places."""
        centres = _centres(poses, self.middle)
        strength = (_PLACE_STEP * float(np.linalg.norm(centres, axis=1).mean())) ** -2
        for frame in range(len(poses) - 1):
            one, two = (slice(3 + 3 * row, 6 + 3 * row) for row in (frame, frame + 1))
            # As strong against what the frame's picture says as in any other frame.
            held = self.weight(frame + 1) * strength
            apart = held * (centres[frame + 1] - centres[frame])
            for own, other, sign in ((two, one, 1.0), (one, two, -1.0)):
                matrix[own, own] += held * np.eye(3)
                matrix[own, other] -= held * np.eye(3)
                right[own] += sign * apart


def _centres(poses: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """[F, 3] the object's middle in the camera frame."""
    found: np.ndarray = poses[:, :3, :3] @ middle + poses[:, :3, 3]
    return found
