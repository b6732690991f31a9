"""Points of the mesh followed through the pictures of a window, and the parts' motions that fit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.spatial import cKDTree

from ..camera.crop import Crop, union_crop
from ..camera.tracks3d import carry_points
from ..mesh.types import vertex_normals
from .cameras import GUESS_TURN_DEG, TrackedPoints, camera_series, smooth_poses
from .confidence import track_confidence
from .contour import Contours, Pulls
from .coupled import solve_coupled
from .flow import View, cut_view, find_again, flow_both_ways, read_mask, step_points
from .links import Links
from .sight import Sight, look_at_points
from .solving import LEAST_INLIERS, PartMotions, PartShapes, Sightings, motions_of, solve_parts

ASTRAY_PX = 5.0
"""A track farther than this from its point on the mesh is given up, working pixels."""

PATIENCE = 8
"""Frames in a row in which the mesh must contradict the track of a query for it to be given up."""

NEIGHBOURS = 24
"""Points around a lost one whose tracks say how far the mesh is off there."""

DRIFT_PX = 2.0
"""A track that holds is put right by a key picture by no more than this, working pixels."""

AGAIN_EVERY = 3
"""Frames between two looks for lost points in a key picture."""

FRESH_EVERY = 5
"""Frames between two starts of new tracks on landmarks that no key picture shows."""

FRESH_WEIGHT = 0.3
"""Of a track that starts where the mesh is, beside 1 of a track from the first picture."""

KEY_WEIGHT = 0.5
"""Of a track from a later key picture, whose own pose may be off."""

QUIET_PX = 1.2
"""A landmark this near to where its rest pose is seen has not moved, working pixels."""

RESTING = 0.05
"""A landmark that the chain moves by so much counts a quarter as one that rests, object units."""

QUIET_SHARE, LEAST_QUIET = 0.7, 6
"""A part seems still if more than this share of at least so many known landmarks has not moved."""


@dataclass(frozen=True)
class KeyPicture:
    """A picture in which points can be looked for again.

    Attributes:
        image: [H, W, 3] uint8 RGB; mask: [H, W] bool.
        points_px: [N, 2] where the points are seen in it, full-frame pixels; NaN = not seen.
        weight: of a track that comes from it.
    """

    image: np.ndarray
    mask: np.ndarray
    points_px: np.ndarray
    weight: float


@dataclass(frozen=True)
class Carrier:
    """How the anchor mesh carries points and is carried by landmarks.

    Attributes:
        faces: [T, 3]; landmarks: [K] vertices.
        rest: [K, 3] float64 landmarks at rest.
        face: [Q] and barycentric: [Q, 3] of further points, -1 = on no triangle.
        rest_points: [K + Q, 3] float64 all points at rest; NaN = on no triangle.
        skin: [F, K, 3] places of landmarks to [F, V, 3] vertices.
        margin: depth tolerance of visibility, object units.
    """

    faces: np.ndarray
    landmarks: np.ndarray
    rest: np.ndarray
    face: np.ndarray
    barycentric: np.ndarray
    rest_points: np.ndarray
    skin: Callable[[np.ndarray], np.ndarray]
    margin: float

    def points(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[K + Q, 3] places and unit normals of all points on a posed mesh [V, 3]: landmarks first."""
        normals = vertex_normals(vertices, self.faces)
        both = np.stack([np.asarray(vertices, np.float64), normals])
        carried = carry_points(both, self.faces, self.face, self.barycentric).astype(np.float64)
        places, turned = np.concatenate([both[:, self.landmarks], carried], axis=1)
        return places, turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)


def look_at_mesh(carrier: Carrier, vertices: np.ndarray, pose: np.ndarray, intrinsics: np.ndarray, size: int) -> Sight:
    """Where a posed mesh [V, 3] has all points in a picture of ``size`` x ``size`` pixels; ``pose`` [4, 4]."""
    places, normals = carrier.points(vertices)
    turn, shift = pose[:3, :3], pose[:3, 3]
    posed = (vertices @ turn.T + shift, carrier.faces)
    return look_at_points(posed, places @ turn.T + shift, normals @ turn.T, intrinsics, size, carrier.margin)


@dataclass(frozen=True)
class Coupling:
    """What the patches of a mesh go by beside their tracks where no network says anything (``parts.coupled``).

    Attributes:
        links: where patches hold each other.   contours: of the window's masks.
    """

    links: Links
    contours: Contours


@dataclass(frozen=True)
class PointState:
    """Where all points (landmarks, then queries) were last seen.

    Attributes:
        points_px: [N, 2] full-frame pixels; NaN = never seen.
        alive: [N] bool, followed up to now.   weight: [N] of the track.
        since: [N] frames since a track was last seen in a key picture, or since it was lost.
        doubt: [N] frames in a row in which the mesh contradicts the track.
        frames: followed so far.
    """

    points_px: np.ndarray
    alive: np.ndarray
    weight: np.ndarray
    since: np.ndarray
    doubt: np.ndarray
    frames: int = 0

    @classmethod
    def start(cls, points_px: np.ndarray) -> PointState:
        """Points at full-frame pixels [N, 2], NaN = not seen."""
        known = np.isfinite(points_px).all(axis=1)
        return cls(points_px, known, np.ones(len(known)), np.zeros(len(known)), np.zeros(len(known), np.int64))


@dataclass(frozen=True)
class FollowedFrame:
    """A frame after its pixels were heard.

    Attributes:
        landmarks: [K, 3] float64; vertices: [V, 3].
        points_px: [N, 2] where the points are, full-frame pixels: tracks where they hold, else where they are expected.
        alive: [N] bool, the track holds.
        shown: [N] bool, the mesh shows the point, inside the mask.
        confidence: [N] float32, how likely the place is right.
        sure: [K] bool, landmarks on parts that their tracks agree with.
    """

    landmarks: np.ndarray
    vertices: np.ndarray
    points_px: np.ndarray
    alive: np.ndarray
    shown: np.ndarray
    confidence: np.ndarray
    sure: np.ndarray


@dataclass(frozen=True)
class Followed:
    """A window after its pixels were heard.

    Attributes:
        frames: the new ones.
        state: for the next window.
    """

    frames: tuple[FollowedFrame, ...]
    state: PointState

    def stack(self, name: str) -> np.ndarray:
        """[n, ...] one attribute of all frames."""
        return np.stack([getattr(frame, name) for frame in self.frames])


@dataclass
class _Live:
    """``PointState`` while a frame is worked on, in working pixels; its arrays change in place."""

    points: np.ndarray
    alive: np.ndarray
    weight: np.ndarray
    since: np.ndarray
    doubt: np.ndarray

    def seen(self, rows: np.ndarray, points: np.ndarray, weight: float) -> None:
        """Tracks that start, or are put right, at [n, 2]."""
        self.points[rows], self.alive[rows], self.weight[rows] = points, True, weight
        self.since[rows], self.doubt[rows] = 0.0, 0


@dataclass
class PixelFollower:
    """Follows points through one window, frame by frame.

    Attributes:
        carrier: of the anchor mesh.
        views: [F] pictures of the window in ``crop``, the shared frame first.
        crop: working square.   intrinsics: [3, 3] of the full frame.
        cameras: [F, 4, 4] camera_from_object.
        keys: pictures to look in again, the first frame of all first.
        part: [K] rigid part of every landmark.
        coupling: holds the parts together; None = the chain says where they are.
        around, closeness: [N, k] the points nearest to each at rest, and how much each of them counts.
    """

    carrier: Carrier
    views: list[View]
    crop: Crop
    intrinsics: np.ndarray
    cameras: np.ndarray
    keys: list[KeyPicture]
    part: np.ndarray
    coupling: Coupling | None = None
    shapes: PartShapes = field(init=False)
    around: np.ndarray = field(init=False)
    closeness: np.ndarray = field(init=False)
    _flows: dict[int, tuple[np.ndarray, np.ndarray]] = field(init=False, default_factory=dict)
    _key_views: dict[int, tuple[View, Crop]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes = PartShapes.of(self.carrier.rest, self.part)
        places = self.carrier.rest_points
        known = np.isfinite(places).all(axis=1)
        found, near = cKDTree(places[known]).query(np.nan_to_num(places), min(NEIGHBOURS + 1, int(known.sum())))
        found, near = found[:, 1:], near[:, 1:]
        self.around = np.flatnonzero(known)[near]
        self.closeness = np.exp(-0.5 * (found / max(float(np.median(found[:, :8])), 1e-9)) ** 2)

    def run(self, chain: np.ndarray, state: PointState) -> Followed:
        """Through all new frames.

        Args:
            chain: [n, K, 3] what the chain says about the landmarks of the new frames; of coupled parts only the first
                is heard, where they were in the shared frame.
            state: where the points are in the shared frame.
        """
        frames: list[FollowedFrame] = []
        for number, places in enumerate(chain, start=1):
            known = frames[-1].landmarks if frames and self.coupling is not None else places
            frame, state = self._frame(number, known, state)
            frames.append(frame)
        return Followed(tuple(frames), state)

    def _step(self, frame: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points [N, 2] of the frame before in this frame, and whether that holds [N]."""
        if frame not in self._flows:
            self._flows[frame] = flow_both_ways(self.views[frame - 1], self.views[frame])
        return step_points(points, *self._flows[frame], self.views[frame].mask)

    def lay_cameras(
        self, chain: np.ndarray, state: PointState, turn_deg: float, guessed: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Poses under which the object rests as far as it can, from the first frame's on; changes ``cameras``.

        Args:
            chain: [n, K, 3] what the chain says about the new frames: what it says has moved hardly counts as resting.
            state: where the points are in the shared frame.
            turn_deg: how far the camera may turn about the object from frame to frame (standard deviation).
            guessed: the poses given have a say where too few landmarks rest.
        Returns:
            [n] landmarks that rest in each new frame, 0 where they are too few; [n] their median miss in full-frame
            pixels, NaN there.
        """
        count, rest = len(self.part), self.carrier.rest
        points, alive = self.crop.full_to_crop(state.points_px), state.alive.copy()
        frames = []
        for frame, places in enumerate(chain, start=1):
            points, held = self._step(frame, points)
            alive &= held
            rows = np.flatnonzero(alive[:count])
            resting = self._resting(places)[rows]
            frames.append(TrackedPoints(rest[rows], places[rows], points[rows], state.weight[rows], resting))
        found = camera_series(frames, self.cameras[0], self.crop.intrinsics(self.intrinsics))
        if frames:
            middle = 0.5 * (rest.min(axis=0) + rest.max(axis=0))
            guess = GUESS_TURN_DEG if guessed else np.inf
            poses = np.where(found.enough[:, None, None], found.poses, self.cameras[1:])
            errors = np.where(found.enough, found.error_deg, guess)
            smooth = smooth_poses(self.cameras[0], poses, errors, turn_deg, middle)
            self.cameras = np.concatenate([self.cameras[:1], smooth])
        miss = np.where(found.enough, found.miss, np.nan) / self.crop.scale
        return np.where(found.enough, found.count, 0).astype(np.int32), miss.astype(np.float32)

    def _resting(self, places: np.ndarray) -> np.ndarray:
        """[K] 1 for landmarks at [K, 3] that are hardly away from rest, compared to the others; towards 0 else."""
        moved = np.linalg.norm(places - self.carrier.rest, axis=1)
        usual = max(RESTING, 1.5 * float(np.quantile(moved, 0.25)))
        return 1.0 / (1.0 + (moved / usual) ** 2) ** 2

    def _frame(self, frame: int, chain: np.ndarray, state: PointState) -> tuple[FollowedFrame, PointState]:
        view, count = self.views[frame], len(self.part)
        points, held = self._step(frame, self.crop.full_to_crop(state.points_px))
        live = _Live(points, state.alive & held, state.weight.copy(), state.since + 1.0, state.doubt)
        landmarks, sure = self._solve(frame, chain, live)
        vertices = self.carrier.skin(landmarks[None])[0]
        sight = self._look(frame, vertices)
        expected, support = self._expected(sight, live)
        with np.errstate(invalid="ignore"):
            beside = np.linalg.norm(expected - points, axis=1)
            away = np.where(np.arange(len(points)) < count, np.linalg.norm(sight.pixels - points, axis=1), beside)
            doubted = np.isfinite(sight.pixels).all(axis=1) & ~(sight.visible & (away < ASTRAY_PX))
        # Landmarks move the mesh: a doubt is enough. Queries are there to be followed, and flow is right more often.
        live.doubt = np.where(doubted, live.doubt + 1, 0)
        live.alive &= live.doubt < np.where(np.arange(len(points)) < count, 1, PATIENCE)
        done = state.frames + 1
        if done % AGAIN_EVERY == 0:
            for number, key in enumerate(self.keys):
                self._find(number, key, frame, np.where(sight.clear[:, None], expected, np.nan), live)
        if done % FRESH_EVERY == 0:
            fresh = sight.clear & ~live.alive & read_mask(view.mask, sight.pixels)
            for key in self.keys:
                fresh &= ~np.isfinite(key.points_px).all(axis=1)
            fresh[count:] = False
            live.seen(fresh, sight.pixels[fresh], FRESH_WEIGHT)
        live.since[state.alive & ~live.alive] = 0.0
        near_mask = cv2.dilate(view.mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        shown = sight.visible & read_mask(near_mask, expected)
        places = np.where(live.alive[:, None] | ~np.isfinite(expected), live.points, expected)
        confidence = track_confidence(live.alive, live.since, beside, support, ~shown)
        full = self.crop.crop_to_full(places)
        found = FollowedFrame(landmarks, vertices, full, live.alive, shown, confidence, sure)
        return found, PointState(
            self.crop.crop_to_full(live.points), live.alive, live.weight, live.since, live.doubt, done
        )

    def _expected(self, sight: Sight, live: _Live) -> tuple[np.ndarray, np.ndarray]:
        """Where the mesh has the points, moved as the tracks around each lie beside the mesh, and how many these are.

        Returns:
            [N, 2] working pixels, NaN = nowhere, and [N] tracks by closeness.
        """
        beside = np.where(live.alive[:, None], live.points - sight.pixels, np.nan)
        known = np.isfinite(beside).all(axis=1)
        share = known[self.around] * self.closeness
        support = share.sum(axis=1)
        # Without a known neighbour nothing is moved.
        moved = np.einsum("nk,nka->na", share, np.nan_to_num(beside)[self.around]) / (support[:, None] + 1e-3)
        return sight.pixels + moved, support

    def _solve(self, frame: int, chain: np.ndarray, live: _Live) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks [K, 3] of a frame, on parts that fit the tracks; and [K] bool whether tracks agree with them."""
        rest, part, count = self.carrier.rest, self.part, len(self.part)
        points, alive, weight = live.points[:count], live.alive[:count], live.weight[:count]
        still = self._still_parts(frame, points, alive & (weight == 1.0))
        known = np.flatnonzero(alive)
        sightings = Sightings(
            rest[known] - self.shapes.centre[part[known]], part[known], points[known], weight[known],
            self.cameras[frame], self.crop.intrinsics(self.intrinsics),
        )  # fmt: skip
        start = motions_of(chain, part, self.shapes, rest)
        if self.coupling is not None:
            motions, share = self._coupled(self.coupling, frame, start, still, sightings)
            return motions.move(rest, part, self.shapes), np.nan_to_num(share)[part] >= LEAST_INLIERS
        motions, share = solve_parts(self.shapes, start, still, sightings)
        landmarks = motions.move(rest, part, self.shapes)
        # Fewer than four landmarks do not make a rigid part.
        few = (self.shapes.size < 4)[part]
        sure = np.nan_to_num(share)[part] >= LEAST_INLIERS
        return np.where(few[:, None], chain, landmarks), sure & ~few

    def _coupled(
        self, coupling: Coupling, frame: int, start: PartMotions, still: np.ndarray, sightings: Sightings
    ) -> tuple[PartMotions, np.ndarray]:
        """Motions of all parts together, and the share of each one's tracks that agree with them."""

        def outline(motions: PartMotions) -> Pulls:
            landmarks = motions.move(self.carrier.rest, self.part, self.shapes)
            return coupling.contours.pulls(frame, self.carrier.skin(landmarks[None])[0], self.cameras[frame])

        return solve_coupled(self.shapes, coupling.links, start, still, sightings, outline)

    def _still_parts(self, frame: int, points: np.ndarray, first: np.ndarray) -> np.ndarray:
        """[P] parts whose tracks from the first picture lie where the rest pose is seen now, or was seen there."""
        pose = self.cameras[frame]
        flat = (self.carrier.rest @ pose[:3, :3].T + pose[:3, 3]) @ self.crop.intrinsics(self.intrinsics).T
        with np.errstate(invalid="ignore", divide="ignore"):
            at_rest = flat[:, :2] / flat[:, 2:]
            began = self.crop.full_to_crop(self.keys[0].points_px[: len(points)])
            away = np.fmin(np.linalg.norm(points - at_rest, axis=1), np.linalg.norm(points - began, axis=1))
        count = len(self.shapes.size)
        known = np.bincount(self.part[first], minlength=count)
        quiet = np.bincount(self.part[first & (away < QUIET_PX)], minlength=count)
        return (known >= LEAST_QUIET) & (quiet > QUIET_SHARE * known)

    def _look(self, frame: int, vertices: np.ndarray) -> Sight:
        """Where the mesh has all points, in working pixels."""
        intrinsics = self.crop.intrinsics(self.intrinsics)
        return look_at_mesh(self.carrier, vertices, self.cameras[frame], intrinsics, self.crop.size)

    def _find(self, number: int, key: KeyPicture, frame: int, expected: np.ndarray, live: _Live) -> None:
        """Look in a key picture for lost points near where they are expected [N, 2], and put drifted tracks right."""
        known = live.alive & (live.weight >= key.weight)
        guess = np.where(known[:, None], live.points, expected)
        rows = np.flatnonzero(np.isfinite(key.points_px).all(axis=1) & np.isfinite(guess).all(axis=1))
        view, crop = self._key_view(number, key)
        found, held = find_again(view.grey, self.views[frame].grey, crop.full_to_crop(key.points_px[rows]), guess[rows])
        held &= read_mask(self.views[frame].mask, found)
        # A track that holds has drifted a little at most.
        held &= ~known[rows] | (np.linalg.norm(found - guess[rows], axis=1) < DRIFT_PX)
        live.seen(rows[held], found[held], key.weight)

    def _key_view(self, number: int, key: KeyPicture) -> tuple[View, Crop]:
        """A key picture at the window's scale and size, about its object."""
        if number not in self._key_views:
            about = union_crop(key.mask[None], 0.0, 1)
            shift = np.rint(0.5 * (about.side - self.crop.side))
            square = Crop(about.x0 + shift, about.y0 + shift, self.crop.side, self.crop.size)
            crop = replace(square, x0=np.floor(square.x0 + 0.5) - 0.5, y0=np.floor(square.y0 + 0.5) - 0.5)
            self._key_views[number] = (cut_view(key.image, key.mask, crop), crop)
        return self._key_views[number]
