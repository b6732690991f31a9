"""Camera poses of a window from its masks: the mesh's rim laid onto the masks' outlines, all frames at once.

Not in the paper: attention on patches gives the direction of view, the outline gives it ten times as exactly. Every
frame pulls its own pose towards its own mask, and neighbouring frames hold each other by how much the camera can have
turned between them. A frame whose mesh fits its mask badly counts less, so the anchor frame, whose shape is known best,
carries the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..mesh.landmarks import edge_faces
from ..mesh.types import face_areas_normals
from ..shapes import check_shape
from .intrinsics import check_intrinsics
from .tracks3d import project

OUTLINE_POINTS = 200
"""Points kept of each mask's outline."""

BODY_POINTS = 2000
"""Vertices that are looked at for being outside the mask."""

ROUNDS = 20
_FIRST_GATE, _GATE_SHRINK, _LAST_GATE = 0.12, 0.75, 0.006
"""Distance at which a match counts a quarter: shares of the object's size in pixels, falling round by round."""

_NORMAL_WEIGHT = 0.1
"""A turned normal is as bad as a distance of this share of the object's size."""

_TRUST_DEG = 20.0
"""How far the poses that attention gave may be wrong."""

_CORRELATED = 10
"""Neighbours along an outline err together: so many of them count as one."""

_WORSE = 1.2
"""A fit that ends this many times as far from the outlines as it began is refused; neighbours may cost a little."""

_MOST_TURN = 0.2
"""Radians that a pose may turn in one round."""


@dataclass(frozen=True)
class MaskOutline:
    """What a mask says about where the object ends.

    Attributes:
        points: [n, 2] float64 pixels on the edge; normals: [n, 2] float64 unit, outwards. Edges along the picture's
            border are left out: the object may go on there.
        outside: [H, W] float32 distance in pixels of every pixel outside the mask to the mask, 0 inside.
        slope: [H, W, 2] float32 gradient of ``outside``.
    """

    points: np.ndarray
    normals: np.ndarray
    outside: np.ndarray
    slope: np.ndarray


def mask_outline(mask: np.ndarray, count: int = OUTLINE_POINTS) -> MaskOutline:
    """The outline of a mask [H, W], about ``count`` points of it, holes included."""
    check_shape("mask", mask, "H W")
    inside = np.asarray(mask).astype(np.uint8)
    height, width = inside.shape
    lines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    pixels = np.concatenate([np.zeros((0, 2), np.int64), *(line[:, 0].astype(np.int64) for line in lines)])
    inner = (pixels > 0).all(axis=1) & (pixels < [width - 1, height - 1]).all(axis=1)
    pixels = pixels[inner][:: max(1, int(inner.sum()) // count)]
    # OpenCV lists the mask's own outermost pixels; the edge runs half a pixel outside their centres.
    smooth = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 2.0)
    normals = -_gradient(smooth)[pixels[:, 1], pixels[:, 0]].astype(np.float64)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    outside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return MaskOutline(pixels + 0.5 * normals, normals, outside, _gradient(outside))


def _gradient(values: np.ndarray) -> np.ndarray:
    """[H, W, 2] slope along x and y of an image [H, W] float32."""
    return np.stack(
        [cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=1 / 8)], axis=-1
    )


@dataclass(frozen=True)
class Misfit:
    """How one frame's mesh misses its mask, linear in a small motion of the object.

    Attributes:
        residual: [n] pixels; jacobian: [n, 6] d(residual) / d(turn about the centre [rad], shift); weight: [n] in 0..1.
    """

    residual: np.ndarray
    jacobian: np.ndarray
    weight: np.ndarray

    def normal_equations(self, samples: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """J^T W J [6, 6] and J^T W r [6], counted as ``samples`` independent measurements with error ``scale``."""
        factor = samples / max(len(self.residual), 1) / scale**2
        weighted = self.jacobian * (factor * self.weight)[:, None]
        return weighted.T @ self.jacobian, weighted.T @ self.residual


def motion_jacobian(
    points: np.ndarray, directions: np.ndarray, centre: np.ndarray, intrinsics: np.ndarray
) -> np.ndarray:
    """How far the projections of points move along given pixel directions when the object turns and shifts.

    Args:
        points: [n, 3] camera frame.   directions: [n, 2] unit, pixels.
        centre: [3] camera frame, what the object turns about.   intrinsics: [3, 3].
    Returns:
        [n, 6]: for a turn vector w [rad] and a shift d, X -> centre + exp(w) (X - centre) + d.
    """
    x, y, z = points.T
    focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
    along_x, along_y = focal_x * directions[:, 0] / z, focal_y * directions[:, 1] / z
    shift = np.stack([along_x, along_y, -(along_x * x + along_y * y) / z], axis=1)
    return np.hstack([np.cross(points - centre, shift), shift])


@dataclass(frozen=True)
class Rim:
    """Places on the mesh where the picture's rays touch it.

    Attributes:
        points: [n, 3] and normals: [n, 3] unit, at right angles to the rays; camera frame.
    """

    points: np.ndarray
    normals: np.ndarray


@dataclass(frozen=True)
class PosedMesh:
    """A mesh as one camera sees it, camera frame.

    Attributes:
        rim: where the picture's rays touch it.   body: [n, 3] some of its vertices.   centre: [3] of the object.
    """

    rim: Rim
    body: np.ndarray
    centre: np.ndarray


def rim_misfit(
    posed: PosedMesh, intrinsics: np.ndarray, outline: MaskOutline, size: float, gate: float
) -> tuple[Misfit, Misfit]:
    """Compare a posed mesh with a mask.

    Args:
        posed: the mesh.   intrinsics: [3, 3] of the mask's pixels.
        outline: of the mask.   size: of the object in pixels.   gate: pixels at which a match counts a quarter.
    Returns:
        outline points against the nearest rim places with like normals (distance across the outline), and vertices
        that project outside the mask (distance to it). Either may be empty; what is behind the camera takes no part.
    Twin: ``reference.outline.rim_misfit``.
    """
    edge = over = Misfit(np.zeros(0), np.zeros((0, 6)), np.zeros(0))
    body, centre = posed.body, posed.centre
    ahead = posed.rim.points[:, 2] > 0
    rim = Rim(posed.rim.points[ahead], posed.rim.normals[ahead])
    if len(rim.points) and len(outline.points):
        # The touching plane goes through the camera's centre and meets the picture in a line across (n_x/f_x, n_y/f_y).
        across = rim.normals[:, :2] / np.diag(intrinsics)[:2]
        across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
        pixels, spread = project(intrinsics, rim.points), _NORMAL_WEIGHT * size
        tree = cKDTree(np.hstack([pixels, spread * across]))
        apart, partner = tree.query(np.hstack([outline.points, spread * outline.normals]))
        residual = ((pixels[partner] - outline.points) * outline.normals).sum(axis=1)
        jacobian = motion_jacobian(rim.points[partner], outline.normals, centre, intrinsics)
        edge = Misfit(residual, jacobian, _fall_off(residual, gate) * (apart < 4 * gate + 0.7 * spread))
    height, width = outline.outside.shape
    cell = np.rint(project(intrinsics, body))
    seen = ((cell >= 0) & (cell < [width, height])).all(axis=1)
    column, row = np.where(seen[:, None], cell, 0).astype(np.int64).T
    out = np.flatnonzero(seen & (outline.outside[row, column] > 1.0))
    if len(out):
        distance = outline.outside[row[out], column[out]].astype(np.float64)
        slope = outline.slope[row[out], column[out]].astype(np.float64)
        jacobian = motion_jacobian(body[out], slope, centre, intrinsics)
        over = Misfit(distance, jacobian, 0.5 * _fall_off(distance, gate))
    return edge, over


def _fall_off(residual: np.ndarray, gate: float) -> np.ndarray:
    weights: np.ndarray = 1.0 / (1.0 + (residual / gate) ** 2) ** 2
    return weights


def fit_to_outlines(
    camera_from_object: np.ndarray,
    mesh: tuple[np.ndarray, np.ndarray],
    intrinsics: np.ndarray,
    masks: np.ndarray,
    turn_deg: float,
    before: np.ndarray | None = None,
) -> np.ndarray:
    """Poses that lay the rim of the animated mesh onto the outlines of the masks.

    Gauss-Newton on all frames at once: misfit of every frame (``rim_misfit``) over its own typical size, the poses that
    attention gave (``_TRUST_DEG``), and the turn between neighbouring frames.

    Args:
        camera_from_object: [F, 4, 4] poses to start from; each should be within about 40 degrees.
        mesh: vertices [F, V, 3] of the animated mesh, object frame, and faces [T, 3], counter-clockwise from outside.
        intrinsics: [3, 3] K of the masks' pixels.
        masks: [F, H, W] bool, the whole object where it is inside the picture: not occluded.
        turn_deg: standard deviation of the camera's turn about the object from one frame to the next, degrees; the
            object's place in the camera may change as much by distance.
        before: [4, 4] pose of the frame before the first (the same frame, where windows share one); None = unknown.
    Returns:
        [F, 4, 4] float64. A frame with an empty mask follows its neighbours. Where the fit ends clearly farther from
        the outlines than it began, the poses are returned as they came.
    Raises:
        ShapeError: wrong shapes.   InputError: K cannot be used.
    """
    vertices, faces = mesh
    axes = check_shape("vertices", vertices, "F V 3")
    check_shape("camera_from_object", camera_from_object, "F 4 4", F=axes["F"])
    check_shape("masks", masks, "F H W", F=axes["F"])
    matrix = check_intrinsics(intrinsics)
    start = np.asarray(camera_from_object, np.float64)
    outlines = [mask_outline(mask) for mask in masks]
    areas = np.asarray(masks).sum(axis=(1, 2))
    if not areas.any():
        return start
    size = float(np.sqrt(areas[areas > 0].mean()))
    middle = 0.5 * (vertices[0].min(axis=0) + vertices[0].max(axis=0)).astype(np.float64)
    surface = MovingSurface.of(vertices, faces)
    problem = _Problem(surface, middle, matrix, outlines, size, np.deg2rad(turn_deg), start, before)
    poses = start
    for number in range(ROUNDS):
        poses = problem.improve(poses, max(_LAST_GATE, _FIRST_GATE * _GATE_SHRINK**number) * size)
        if not np.isfinite(poses).all():
            return start
    return poses if problem.distance(poses) <= _WORSE * problem.distance(start) else start


@dataclass(frozen=True)
class MovingSurface:
    """What finding the rim needs of an animated mesh, worked out once.

    Attributes:
        vertices: [F, V, 3] float64.   normals: [F, T, 3] of the triangles; offsets: [F, T], n . x on their planes.
        edges: [E, 2] vertices of every edge; sides: [E, 2] its two triangles (the same one twice where it is open).
    """

    vertices: np.ndarray
    normals: np.ndarray
    offsets: np.ndarray
    edges: np.ndarray
    sides: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, faces: np.ndarray) -> MovingSurface:
        """From vertices [F, V, 3] and faces [T, 3]."""
        places = np.asarray(vertices, np.float64)
        normals = np.stack([face_areas_normals(frame, faces)[1] for frame in places])
        offsets = np.einsum("ftx,ftx->ft", normals, places[:, faces[:, 0]])
        edges, sides, _ = edge_faces(faces)
        return cls(places, normals, offsets, edges, sides)

    def rim(self, frame: int, pose: np.ndarray) -> Rim:
        """Edges between a triangle that faces the camera and one that does not, by their middles; ``pose`` [4, 4].

        Twin: ``reference.outline.find_rim``.
        """
        turn, shift = pose[:3, :3], pose[:3, 3]
        height = self.normals[frame] @ (-turn.T @ shift) - self.offsets[frame]
        one, other = height[self.sides].T
        chosen = np.flatnonzero(((one > 0) != (other > 0)) | (self.sides[:, 0] == self.sides[:, 1]))
        middles = self.vertices[frame][self.edges[chosen]].mean(axis=1)
        # Of the planes between the two triangles', the one that goes through the camera.
        normals = np.abs(other[chosen])[:, None] * self.normals[frame][self.sides[chosen, 0]]
        normals += np.abs(one[chosen])[:, None] * self.normals[frame][self.sides[chosen, 1]]
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        return Rim(middles @ turn.T + shift, normals @ turn.T)

    def body(self, frame: int, pose: np.ndarray) -> np.ndarray:
        """Some vertices [n, 3] in the camera frame."""
        some = self.vertices[frame][:: max(1, self.vertices.shape[1] // BODY_POINTS)]
        posed: np.ndarray = some @ pose[:3, :3].T + pose[:3, 3]
        return posed


@dataclass(frozen=True)
class _Problem:
    """The window's data; see ``fit_to_outlines``."""

    surface: MovingSurface
    middle: np.ndarray
    intrinsics: np.ndarray
    outlines: list[MaskOutline]
    size: float
    turn: float
    start: np.ndarray
    before: np.ndarray | None

    def misfit(self, frame: int, pose: np.ndarray, gate: float) -> tuple[Misfit, Misfit]:
        centre = pose[:3, :3] @ self.middle + pose[:3, 3]
        posed = PosedMesh(self.surface.rim(frame, pose), self.surface.body(frame, pose), centre)
        return rim_misfit(posed, self.intrinsics, self.outlines[frame], self.size, gate)

    def distance(self, poses: np.ndarray) -> float:
        """Median over all frames' outline points of the distance to the mesh's rim, pixels."""
        parts = [np.abs(self.misfit(frame, pose, self.size)[0].residual) for frame, pose in enumerate(poses)]
        joined = np.concatenate(parts)
        return float(np.median(joined)) if len(joined) else np.inf

    def improve(self, poses: np.ndarray, gate: float) -> np.ndarray:
        """One Gauss-Newton step."""
        frames = len(poses)
        matrix, right = np.zeros((frames, 6, frames, 6)), np.zeros((frames, 6))
        for frame, pose in enumerate(poses):
            edge, over = self.misfit(frame, pose, gate)
            scale = max(0.5, 1.5 * float(np.median(np.abs(edge.residual)))) if len(edge.residual) else 1.0
            samples = len(edge.residual) / _CORRELATED
            for part, count in ((edge, samples), (over, samples * min(1.0, len(over.residual) / OUTLINE_POINTS))):
                if len(part.residual):
                    add, push = part.normal_equations(count, scale)
                    matrix[frame, :, frame] += add
                    right[frame] += push
            trust = np.deg2rad(_TRUST_DEG) ** -2
            matrix[frame, :3, frame, :3] += trust * np.eye(3)
            right[frame, :3] += trust * _turn_between(self.start[frame], pose)
        self._hold_neighbours(poses, matrix, right)
        full = matrix.reshape(6 * frames, 6 * frames)
        # The last term is for a lone frame that nothing is seen of.
        damped = full + 1e-3 * np.diag(np.diag(full)) + 1e-9 * np.eye(len(full))
        step = -np.linalg.solve(damped, right.ravel()).reshape(frames, 6)
        return np.stack([self._move(pose, motion) for pose, motion in zip(poses, step, strict=True)])

    def _hold_neighbours(self, poses: np.ndarray, matrix: np.ndarray, right: np.ndarray) -> None:
        centres = poses[:, :3, :3] @ self.middle + poses[:, :3, 3]
        far = float(np.linalg.norm(centres, axis=1).mean())
        strength = np.repeat([self.turn**-2, (self.turn * far) ** -2], 3)
        for one in range(len(poses) - 1):
            other = one + 1
            apart = np.concatenate([_turn_between(poses[one], poses[other]), centres[other] - centres[one]])
            for row, sign in ((other, 1.0), (one, -1.0)):
                matrix[row, :, row] += np.diag(strength)
                matrix[row, :, other if row == one else one] -= np.diag(strength)
                right[row] += sign * strength * apart
        if self.before is not None:
            centre = self.before[:3, :3] @ self.middle + self.before[:3, 3]
            matrix[0, :, 0] += np.diag(strength)
            right[0] += strength * np.concatenate([_turn_between(self.before, poses[0]), centres[0] - centre])

    def _move(self, pose: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """A pose after the object turned about its centre and shifted in the camera."""
        angle = float(np.linalg.norm(motion[:3]))
        turn = Rotation.from_rotvec(motion[:3] * min(1.0, _MOST_TURN / max(angle, 1e-12))).as_matrix()
        moved = np.eye(4)
        moved[:3, :3] = turn @ pose[:3, :3]
        centre = pose[:3, :3] @ self.middle + pose[:3, 3]
        moved[:3, 3] = centre + motion[3:] - moved[:3, :3] @ self.middle
        return moved


def _turn_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[3] rotation vector that leads from one pose's rotation to the other's, camera frame."""
    turn: np.ndarray = Rotation.from_matrix(other[:3, :3] @ one[:3, :3].T).as_rotvec()
    return turn
