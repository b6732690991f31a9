"""Camera poses of a window from its masks: the mesh's rim laid onto the masks' outlines, all frames at once.

Not in the paper: attention on patches gives the direction of view, the outline gives it ten times as exactly. Every
frame pulls its own pose towards its own mask, and neighbouring frames hold each other by how much the camera can have
turned between them. A frame whose mesh fits its mask badly counts less, so the anchor frame, whose shape is known best,
carries the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

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


@dataclass(frozen=True)
class Outlines:
    """The outlines of a window's masks, joined.

    Attributes:
        points, normals: [n, 2] of all frames, one after another; frame: [n] which one.
        outside: [F, H, W], slope: [F, H, W, 2] as in ``MaskOutline``.
    """

    points: np.ndarray
    normals: np.ndarray
    frame: np.ndarray
    outside: np.ndarray
    slope: np.ndarray

    @classmethod
    def of(cls, masks: np.ndarray, count: int = OUTLINE_POINTS) -> Outlines:
        """Of masks [F, H, W], about ``count`` points each."""
        frames, height, width = masks.shape
        outside = np.empty((frames, height, width), np.float32)
        slope = np.empty((frames, height, width, 2), np.float32)
        points, normals, frame = [], [], []
        for number, mask in enumerate(masks):
            found = mask_outline(mask, count)
            outside[number], slope[number] = found.outside, found.slope
            points.append(found.points)
            normals.append(found.normals)
            frame.append(np.full(len(found.points), number))
        return cls(np.concatenate(points), np.concatenate(normals), np.concatenate(frame), outside, slope)


def _gradient(values: np.ndarray) -> np.ndarray:
    """[H, W, 2] slope along x and y of an image [H, W] float32."""
    return np.stack(
        [cv2.Sobel(values, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(values, cv2.CV_32F, 0, 1, scale=1 / 8)], axis=-1
    )


@dataclass(frozen=True)
class Misfit:
    """How the mesh misses its masks, linear in a small motion of the object in each frame.

    Attributes:
        residual: [n] pixels; jacobian: [n, 6] d(residual) / d(turn about the centre [rad], shift); weight: [n] in 0..1.
        frame: [n] which frame, rising.
    """

    residual: np.ndarray
    jacobian: np.ndarray
    weight: np.ndarray
    frame: np.ndarray

    def by_frame(self, frames: int) -> list[Misfit]:
        """The parts of each frame."""
        ends = np.searchsorted(self.frame, np.arange(frames + 1))
        return [
            Misfit(self.residual[a:b], self.jacobian[a:b], self.weight[a:b], self.frame[a:b]) for a, b in pairwise(ends)
        ]

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
        centre: [3] or [n, 3] camera frame, what the object turns about.   intrinsics: [3, 3].
    Returns:
        [n, 6]: for a turn vector w [rad] and a shift d, X -> centre + exp(w) (X - centre) + d.
    """
    x, y, z = points.T
    focal_x, focal_y = intrinsics[0, 0], intrinsics[1, 1]
    along_x, along_y = focal_x * directions[:, 0] / z, focal_y * directions[:, 1] / z
    shift = np.stack([along_x, along_y, -(along_x * x + along_y * y) / z], axis=1)
    # The cross product written out: numpy's own takes three times as long.
    (arm_x, arm_y, arm_z), (push_x, push_y, push_z) = (points - centre).T, shift.T
    turn = [arm_y * push_z - arm_z * push_y, arm_z * push_x - arm_x * push_z, arm_x * push_y - arm_y * push_x]
    return np.stack([*turn, push_x, push_y, push_z], axis=1)


@dataclass(frozen=True)
class Rim:
    """Places on the mesh where the pictures' rays touch it.

    Attributes:
        points: [n, 3] and normals: [n, 3] unit, at right angles to the rays; camera frame.
        frame: [n] which frame, rising.   edge: [n] which edge of the mesh.
    """

    points: np.ndarray
    normals: np.ndarray
    frame: np.ndarray
    edge: np.ndarray


@dataclass(frozen=True)
class PosedMesh:
    """A moving mesh as the camera sees it in each frame, camera frame.

    Attributes:
        rim: where the pictures' rays touch it.   body: [F, m, 3] some of its vertices.   centre: [F, 3] of the object.
    """

    rim: Rim
    body: np.ndarray
    centre: np.ndarray


def rim_misfit(
    posed: PosedMesh, intrinsics: np.ndarray, outlines: Outlines, size: float, gate: float
) -> tuple[Misfit, Misfit]:
    """Compare a posed mesh with its masks, all frames at once.

    Args:
        posed: the mesh.   intrinsics: [3, 3] of the masks' pixels.
        outlines: of the masks.   size: of the object in pixels.   gate: pixels at which a match counts a quarter.
    Returns:
        outline points against the nearest rim places of their frame with like normals (distance across the outline),
        and vertices that project outside the mask (distance to it). Either may be empty; what is behind the camera
        takes no part.
    Twin: ``lab.reference.outline.rim_misfit``.
    """
    centre = posed.centre
    pairs = pair_rim(posed.rim, intrinsics, outlines, size, gate)
    frame = outlines.frame[pairs.point]
    normals = outlines.normals[pairs.point]
    jacobian = motion_jacobian(posed.rim.points[pairs.rim], normals, centre[frame], intrinsics)
    edge = Misfit(pairs.residual, jacobian, pairs.weight, frame)
    spilled = find_spilled(posed.body, intrinsics, outlines)
    places = posed.body[spilled.frame, spilled.number]
    jacobian = motion_jacobian(places, spilled.slope, centre[spilled.frame], intrinsics)
    return edge, Misfit(spilled.distance, jacobian, 0.5 * fall_off(spilled.distance, gate), spilled.frame)


@dataclass(frozen=True)
class RimPairs:
    """Outline points and the rim places that they belong to.

    Attributes:
        point: [n] row of the outlines' points, rising; rim: [n] row of the rim.
        residual: [n] pixels from the outline point to the rim place, across the outline; weight: [n] in 0..1.
    """

    point: np.ndarray
    rim: np.ndarray
    residual: np.ndarray
    weight: np.ndarray


def pair_rim(rim: Rim, intrinsics: np.ndarray, outlines: Outlines, size: float, gate: float) -> RimPairs:
    """Every outline point with the nearest rim place of its frame with a like normal.

    Args:
        rim: of the posed mesh; what is behind the camera takes no part.   intrinsics: [3, 3] of the masks' pixels.
        outlines: of the masks.   size: of the object in pixels.   gate: pixels at which a pair counts a quarter.
    """
    ahead = np.flatnonzero(rim.points[:, 2] > 0)
    if not len(ahead) or not len(outlines.points):
        none = np.zeros(0, np.int64)
        return RimPairs(none, none, np.zeros(0), np.zeros(0))
    points, normals, frames = rim.points[ahead], rim.normals[ahead], rim.frame[ahead]
    # The touching plane goes through the camera's centre and meets the picture in a line across (n_x/f_x, n_y/f_y).
    across = normals[:, :2] / np.diag(intrinsics)[:2]
    across /= np.maximum(np.sqrt((across * across).sum(axis=1, keepdims=True)), 1e-12)
    pixels, spread = project(intrinsics, points), _NORMAL_WEIGHT * size
    # One tree for all frames, which lie farther apart in it than anything within one.
    apart_by = float(np.abs(pixels).max() + np.abs(outlines.points).max() + spread) * 4
    tree = cKDTree(
        np.column_stack([pixels, spread * across, apart_by * frames]), compact_nodes=False, balanced_tree=False
    )
    wanted = np.column_stack([outlines.points, spread * outlines.normals, apart_by * outlines.frame])
    apart, partner = tree.query(wanted)
    own = np.flatnonzero(frames[partner] == outlines.frame)
    apart, partner = apart[own], partner[own]
    residual = ((pixels[partner] - outlines.points[own]) * outlines.normals[own]).sum(axis=1)
    return RimPairs(own, ahead[partner], residual, fall_off(residual, gate) * (apart < 4 * gate + 0.7 * spread))


@dataclass(frozen=True)
class Spilled:
    """Places of the mesh that project outside their mask.

    Attributes:
        frame, number: [n] which place of which frame.
        distance: [n] float64 pixels to the mask; slope: [n, 2] float64 its gradient.
    """

    frame: np.ndarray
    number: np.ndarray
    distance: np.ndarray
    slope: np.ndarray


def find_spilled(body: np.ndarray, intrinsics: np.ndarray, outlines: Outlines) -> Spilled:
    """Of places [F, m, 3], camera frame, those in the picture that project more than a pixel outside the mask."""
    height, width = outlines.outside.shape[1:]
    cell = np.rint(project(intrinsics, body))
    with np.errstate(invalid="ignore"):
        seen = (cell[..., 0] >= 0) & (cell[..., 0] < width) & (cell[..., 1] >= 0) & (cell[..., 1] < height)
    frame, number = np.nonzero(seen)
    column, row = cell[frame, number].astype(np.int64).T
    out = outlines.outside[frame, row, column] > 1.0
    frame, number, row, column = frame[out], number[out], row[out], column[out]
    distance = outlines.outside[frame, row, column].astype(np.float64)
    return Spilled(frame, number, distance, outlines.slope[frame, row, column].astype(np.float64))


def round_gate(number: int) -> float:
    """Distance at which a match counts a quarter in a round, share of the object's size in pixels."""
    return max(_LAST_GATE, _FIRST_GATE * _GATE_SHRINK**number)


def fall_off(residual: np.ndarray, gate: float) -> np.ndarray:
    """Weights [n] of residuals [n]: 1 at 0, a quarter at ``gate``."""
    weights: np.ndarray = 1.0 / (1.0 + (residual / gate) ** 2) ** 2
    return weights


def frame_equations(edge: Misfit, over: Misfit) -> tuple[np.ndarray, np.ndarray]:
    """What one frame asks of its pose: J^T W J [6, 6] and J^T W r [6], over the frame's own typical misfit.

    Args:
        edge, over: of this frame, as ``rim_misfit`` gives them. A frame that fits badly asks for little.
    """
    matrix, right = np.zeros((6, 6)), np.zeros(6)
    scale = max(0.5, 1.5 * float(np.median(np.abs(edge.residual)))) if len(edge.residual) else 1.0
    samples = len(edge.residual) / _CORRELATED
    for part, count in ((edge, samples), (over, samples * min(1.0, len(over.residual) / OUTLINE_POINTS))):
        if len(part.residual):
            add, push = part.normal_equations(count, scale)
            matrix += add
            right += push
    return matrix, right


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
    outlines = Outlines.of(masks)
    areas = np.asarray(masks).sum(axis=(1, 2))
    if not areas.any():
        return start
    size = float(np.sqrt(areas[areas > 0].mean()))
    middle = 0.5 * (vertices[0].min(axis=0) + vertices[0].max(axis=0)).astype(np.float64)
    surface = MovingSurface.of(vertices, faces)
    problem = _Problem(surface, middle, matrix, outlines, size, np.deg2rad(turn_deg), start, before)
    poses = start
    for number in range(ROUNDS):
        poses = problem.improve(poses, round_gate(number) * size)
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
    def of(
        cls, vertices: np.ndarray, faces: np.ndarray, edges: tuple[np.ndarray, np.ndarray] | None = None
    ) -> MovingSurface:
        """From vertices [F, V, 3] and faces [T, 3]; ``edges`` of the same faces spare finding them: edges, sides."""
        places = np.asarray(vertices, np.float64)
        normals = np.stack([face_areas_normals(frame, faces)[1] for frame in places])
        offsets = np.einsum("ftx,ftx->ft", normals, places[:, faces[:, 0]])
        return cls(places, normals, offsets, *(edge_faces(faces)[:2] if edges is None else edges))

    def rim(self, poses: np.ndarray) -> Rim:
        """Edges between a triangle that faces the camera and one that does not, by their middles; ``poses`` [F, 4, 4].

        Twin: ``lab.reference.outline.find_rim``.
        """
        turn, shift = poses[:, :3, :3], poses[:, :3, 3]
        eye = -(turn.transpose(0, 2, 1) @ shift[..., None])
        height = np.einsum("ftx,fx->ft", self.normals, eye[..., 0]) - self.offsets
        faces_it = height > 0
        changes = np.take(faces_it, self.sides[:, 0], axis=1) != np.take(faces_it, self.sides[:, 1], axis=1)
        changes |= self.open_edges
        frame, chosen = np.nonzero(changes)
        first, second = self.sides[chosen].T
        middles = self.vertices[frame[:, None], self.edges[chosen]].mean(axis=1)
        # Of the planes between the two triangles', the one that goes through the camera.
        normals = np.abs(height[frame, second])[:, None] * self.normals[frame, first]
        normals += np.abs(height[frame, first])[:, None] * self.normals[frame, second]
        normals /= np.maximum(np.sqrt((normals * normals).sum(axis=1, keepdims=True)), 1e-12)
        turn = turn[frame]
        middles = (turn @ middles[..., None])[..., 0] + shift[frame]
        return Rim(middles, (turn @ normals[..., None])[..., 0], frame, chosen)

    @cached_property
    def open_edges(self) -> np.ndarray:
        """[E] whether an edge has one triangle only."""
        flags: np.ndarray = self.sides[:, 0] == self.sides[:, 1]
        return flags

    @property
    def body_rows(self) -> np.ndarray:
        """[m] which vertices ``body`` looks at."""
        count = self.vertices.shape[1]
        return np.arange(0, count, max(1, count // BODY_POINTS))

    def body(self, poses: np.ndarray) -> np.ndarray:
        """Some vertices [F, m, 3] in the camera frame."""
        posed: np.ndarray = (
            self.vertices[:, self.body_rows] @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
        )
        return posed


@dataclass(frozen=True)
class _Problem:
    """The window's data; see ``fit_to_outlines``."""

    surface: MovingSurface
    middle: np.ndarray
    intrinsics: np.ndarray
    outlines: Outlines
    size: float
    turn: float
    start: np.ndarray
    before: np.ndarray | None

    def centres(self, poses: np.ndarray) -> np.ndarray:
        """[F, 3] the object's middle in the camera frame."""
        found: np.ndarray = poses[:, :3, :3] @ self.middle + poses[:, :3, 3]
        return found

    def misfit(self, poses: np.ndarray, gate: float) -> tuple[Misfit, Misfit]:
        posed = PosedMesh(self.surface.rim(poses), self.surface.body(poses), self.centres(poses))
        return rim_misfit(posed, self.intrinsics, self.outlines, self.size, gate)

    def distance(self, poses: np.ndarray) -> float:
        """Median over all frames' outline points of the distance to the mesh's rim, pixels."""
        residual = self.misfit(poses, self.size)[0].residual
        return float(np.median(np.abs(residual))) if len(residual) else np.inf

    def improve(self, poses: np.ndarray, gate: float) -> np.ndarray:
        """One Gauss-Newton step."""
        frames = len(poses)
        matrix, right = np.zeros((frames, 6, frames, 6)), np.zeros((frames, 6))
        trust = np.deg2rad(_TRUST_DEG) ** -2
        pulled = trust * _turns_between(self.start, poses)
        parts = zip(*(part.by_frame(frames) for part in self.misfit(poses, gate)), strict=True)
        for frame, (edge, over) in enumerate(parts):
            add, push = frame_equations(edge, over)
            matrix[frame, :, frame] += add
            right[frame] += push
            matrix[frame, :3, frame, :3] += trust * np.eye(3)
            right[frame, :3] += pulled[frame]
        self._hold_neighbours(poses, matrix, right)
        full = matrix.reshape(6 * frames, 6 * frames)
        # The last term is for a lone frame that nothing is seen of.
        damped = full + 1e-3 * np.diag(np.diag(full)) + 1e-9 * np.eye(len(full))
        return self._moved(poses, -np.linalg.solve(damped, right.ravel()).reshape(frames, 6))

    def _hold_neighbours(self, poses: np.ndarray, matrix: np.ndarray, right: np.ndarray) -> None:
        centres = self.centres(poses)
        far = float(np.linalg.norm(centres, axis=1).mean())
        strength = np.repeat([self.turn**-2, (self.turn * far) ** -2], 3)
        apart = np.hstack([_turns_between(poses[:-1], poses[1:]), centres[1:] - centres[:-1]])
        for one in range(len(poses) - 1):
            other = one + 1
            for row, sign in ((other, 1.0), (one, -1.0)):
                matrix[row, :, row] += np.diag(strength)
                matrix[row, :, other if row == one else one] -= np.diag(strength)
                right[row] += sign * strength * apart[one]
        if self.before is not None:
            centre = self.before[:3, :3] @ self.middle + self.before[:3, 3]
            turned = _turns_between(self.before[None], poses[:1])[0]
            matrix[0, :, 0] += np.diag(strength)
            right[0] += strength * np.concatenate([turned, centres[0] - centre])

    def _moved(self, poses: np.ndarray, motion: np.ndarray) -> np.ndarray:
        """Poses after the object turned about its centre and shifted in the camera; ``motion`` [F, 6]."""
        angle = np.linalg.norm(motion[:, :3], axis=1, keepdims=True)
        turn = Rotation.from_rotvec(motion[:, :3] * np.minimum(1.0, _MOST_TURN / np.maximum(angle, 1e-12))).as_matrix()
        moved = np.repeat(np.eye(4)[None], len(poses), axis=0)
        moved[:, :3, :3] = turn @ poses[:, :3, :3]
        moved[:, :3, 3] = self.centres(poses) + motion[:, 3:] - moved[:, :3, :3] @ self.middle
        return moved


def _turns_between(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """[n, 3] rotation vectors that lead from the first poses' rotations to the other ones', camera frame."""
    if not len(ones):
        return np.zeros((0, 3))
    turns: np.ndarray = Rotation.from_matrix(others[:, :3, :3] @ ones[:, :3, :3].transpose(0, 2, 1)).as_rotvec()
    return turns
