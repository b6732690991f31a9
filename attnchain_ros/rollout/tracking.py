"""Camera poses and point tracks of a window (Eq. 6, 7, 8, 9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..backbone import TokenMaps
from ..camera.crop import Crop
from ..camera.intrinsics import default_intrinsics
from ..camera.outline import fit_to_outlines
from ..camera.pnp import estimate_pose
from ..camera.raycast import RasterBuffer, intersect_pixels, rasterize
from ..camera.silhouette import fit_to_mask
from ..camera.tracks3d import carry_points, project, to_camera, visibility
from ..chain.bridge import patch_to_vertex, vertex_to_patch
from ..chain.tracks2d import PatchTracks, first_hop, track_patches
from ..config import CameraConfig, RolloutConfig
from ..errors import MaskError
from ..notes import Note
from .matching import LandmarkMatches
from .state import TrackState
from .window import CameraTrack, PointTracks, Window

RASTER_SIZE = 128
"""Side in pixels of the z-buffers for visibility: they only decide what hides what."""

OUTLINE_SIZE = 256
"""Side in pixels of the masks whose outlines refine the cameras."""


@dataclass(frozen=True)
class WindowView:
    """A window as the image encoder saw it.

    Attributes:
        window: full frames.
        crop: the square that the patch grid covers.
        grid: patches along its side.
        maps: attention read in Stage I.
        intrinsics: [3, 3] K of the full frame.
    """

    window: Window
    crop: Crop
    grid: int
    maps: TokenMaps
    intrinsics: np.ndarray


def window_intrinsics(window: Window) -> tuple[np.ndarray, bool]:
    """K of the full frame, and whether it was given (else the default focal length is assumed)."""
    if window.intrinsics is not None:
        return window.intrinsics, True
    return default_intrinsics(*window.images.shape[1:3]), False


def estimate_cameras(
    view: WindowView, matches: LandmarkMatches, landmarks: np.ndarray, valid: np.ndarray, vertices: np.ndarray,
    faces: np.ndarray, last: np.ndarray | None, joined: bool, config: CameraConfig, seed: int,
) -> tuple[CameraTrack, tuple[Note, ...]]:  # fmt: skip
    """A pose for every frame from the patches that its landmarks look at (Eq. 7, 8).

    Args:
        view: the window.
        matches: rows of every landmark over the frame's tokens.
        landmarks: [F, K, 3] animated landmark positions, object frame.
        valid: [F, K] bool.
        vertices: [F, V, 3] animated mesh; faces: [T, 3]: for silhouette and outline.
        last: [4, 4] the last valid pose of earlier windows, kept where a pose is refused; None = none yet.
        joined: the first frame is the last one of the window before.
        config: thresholds.   seed: of RANSAC.
    Returns:
        poses, and a note for every reason of refusal.
    """
    frames = len(landmarks)
    _, given = window_intrinsics(view.window)
    threshold = max(config.reprojection_px, config.reprojection_patches * view.crop.patch_side_full(view.grid))
    poses = np.tile(np.eye(4), (frames, 1, 1))
    accepted = np.zeros(frames, bool)
    inliers = np.zeros(frames, np.int32)
    error = np.full(frames, np.nan, np.float32)
    refusals: dict[str, list[int]] = {}
    before = last if joined else None
    for frame in range(frames):
        if config.estimate:
            _, _, place = vertex_to_patch(view.maps.token_patches[frame].T, matches.rows[frame])
            pixels = view.crop.patch_to_full(place.cpu().numpy().astype(np.float64), view.grid)
            chosen = np.flatnonzero(valid[frame])
            found = estimate_pose(
                landmarks[frame][chosen], pixels[chosen], view.intrinsics, config, threshold, seed + frame
            )
            if found.valid:
                last = found.camera_from_object
                if config.refine != "none":
                    moved = fit_to_mask(last, vertices[frame], view.intrinsics, view.window.masks[frame])
                    last = last if moved is None else moved
                accepted[frame], inliers[frame] = True, int(found.inliers.sum())
                error[frame] = found.reprojection_px
            else:
                refusals.setdefault(found.reason, []).append(frame)
        if last is not None:
            poses[frame] = last
    if config.refine == "outline" and accepted.any():
        first = int(accepted.argmax())
        starts = poses if before is not None else np.concatenate([poses[[first] * first], poses[first:]])
        small = view.crop.at_size(OUTLINE_SIZE)
        masks = np.stack([sample_crop(mask, small) for mask in view.window.masks])
        poses = fit_to_outlines(
            starts, vertices, faces, small.intrinsics(view.intrinsics), masks, config.turn_deg, before
        )
    notes = tuple(
        Note("camera_refused", f"camera pose refused in frames {', '.join(map(str, where))}: {reason}")
        for reason, where in refusals.items()
    )
    track = CameraTrack(view.intrinsics, given, poses, accepted, inliers, error)
    return track, notes


def draw_frames(vertices: np.ndarray, faces: np.ndarray, camera: CameraTrack, crop: Crop) -> list[RasterBuffer]:
    """Small z-buffers [RASTER_SIZE, RASTER_SIZE] of the posed mesh, seen through the crop."""
    intrinsics = crop.at_size(RASTER_SIZE).intrinsics(camera.intrinsics)
    posed = to_camera(vertices, camera.camera_from_object)
    return [rasterize(points, faces, intrinsics, RASTER_SIZE, RASTER_SIZE) for points in posed]


def sample_crop(image: np.ndarray, crop: Crop) -> np.ndarray:
    """A full-frame mask or depth image [H, W] at the pixel centres of a crop; False or 0 outside.

    Returns:
        [size, size], dtype of ``image``; the nearest pixel's value.
    """
    rows, columns = np.mgrid[0 : crop.size, 0 : crop.size]
    place = np.rint(crop.crop_to_full(np.stack([columns, rows], axis=-1))).astype(np.int64)
    height, width = image.shape
    inside = (place >= 0).all(-1) & (place[..., 0] < width) & (place[..., 1] < height)
    place = np.where(inside[..., None], place, 0)
    return np.where(inside, image[place[..., 1], place[..., 0]], np.zeros((), image.dtype))


def grid_queries(mask: np.ndarray, count: int) -> np.ndarray:
    """A regular grid of at most ``count`` pixels [Q, 2] float32 over a mask [H, W].

    Raises:
        MaskError: the mask is empty.
    """
    area = int(mask.sum())
    if area == 0:
        raise MaskError("the mask of the anchor frame is empty, so there is nothing to track: check the segmentation")
    step = max(1, int(np.ceil(np.sqrt(area / count))))
    while True:
        rows, columns = np.mgrid[step // 2 : mask.shape[0] : step, step // 2 : mask.shape[1] : step]
        inside = mask[rows, columns]
        if 0 < inside.sum() <= count:
            return np.stack([columns[inside], rows[inside]], axis=-1).astype(np.float32)
        if inside.sum() == 0:
            # A mask thinner than the grid: its own pixels, evenly chosen.
            rows, columns = np.nonzero(mask)
            chosen = np.linspace(0, area - 1, min(count, area)).astype(np.int64)
            return np.stack([columns[chosen], rows[chosen]], axis=-1).astype(np.float32)
        step += 1


def start_tracks(
    view: WindowView, camera: CameraTrack, vertices: np.ndarray, faces: np.ndarray, anchor_rows: torch.Tensor,
    config: RolloutConfig, anchor: int,
) -> TrackState:  # fmt: skip
    """Attach the queries of the first window to the anchor mesh.

    A query's ray meets the posed mesh (Eq. 9). Where the anchor frame has no pose, or the ray misses, the vertex that
    shares most attention with the query's patch carries it (Eq. 7), so that every pixel has a place on the mesh.

    Args:
        view, camera: of the window.
        vertices: [V, 3] welded mesh in the anchor frame.   faces: [T, 3].
        anchor_rows: [V, N] attention of the vertices over the anchor's tokens.
    """
    window = view.window
    queries = window.queries_px
    if queries is None:
        queries = grid_queries(window.masks[anchor], config.tracks.max_queries)
    queries = np.asarray(queries, np.float32)
    count = len(queries)
    face = np.full(count, -1, np.int32)
    barycentric = np.zeros((count, 3), np.float32)
    if camera.valid[anchor]:
        posed = to_camera(vertices[None], camera.camera_from_object[anchor])[0]
        face, barycentric = intersect_pixels(posed, faces, camera.intrinsics, queries)
    patch = view.crop.patch_of(queries, view.grid)
    missed = np.flatnonzero((face < 0) & (patch >= 0))
    if len(missed):
        nearest = patch_to_vertex(first_hop(view.maps.token_patches[anchor]), anchor_rows).cpu().numpy()
        vertex = nearest[patch[missed]]
        some_face, corner = faces_of_vertices(faces, len(vertices))
        face[missed] = some_face[vertex]
        barycentric[missed] = np.eye(3, dtype=np.float32)[corner[vertex]]
        barycentric[face < 0] = 0.0
    height, width = window.images.shape[1:3]
    place = np.rint(np.nan_to_num(queries)).astype(np.int64)
    place = np.clip(place, 0, [width - 1, height - 1])
    colors = window.images[anchor, place[:, 1], place[:, 0]]
    return TrackState(np.arange(count, dtype=np.int64), face, barycentric, colors, queries)


def faces_of_vertices(faces: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """One triangle of every vertex [V] (-1 = none) and which of its corners the vertex is [V]."""
    face = np.full(count, -1, np.int32)
    corner = np.zeros(count, np.int64)
    for which in range(3):
        face[faces[:, which]] = np.arange(len(faces), dtype=np.int32)
        corner[faces[:, which]] = which
    return face, corner


def track_points(
    view: WindowView, camera: CameraTrack, vertices: np.ndarray, faces: np.ndarray, state: TrackState,
    buffers: list[RasterBuffer], matches: LandmarkMatches, config: RolloutConfig, anchor: int, diagonal: float,
    earlier_pose: bool,
) -> tuple[PointTracks, tuple[Note, ...]]:  # fmt: skip
    """Follow the tracked points through a window, in 3D on the mesh and in 2D by the chosen route.

    Args:
        vertices: [F, V, 3] welded animated mesh.   faces: [T, 3].
        state: where the points sit; their last pixels start the patch route.
        buffers: z-buffers of every frame (``draw_frames``).
        matches: for the confidence of each frame.
        diagonal: of the anchor mesh.
        earlier_pose: an earlier window had a valid pose, so that every frame has at least a kept one.
    Returns:
        tracks and notes.
    """
    options = config.tracks
    points = carry_points(vertices, faces, state.face, state.barycentric)
    seen = np.full(len(points), earlier_pose) | (np.cumsum(camera.valid) > 0)
    in_camera = to_camera(points, camera.camera_from_object)
    in_camera[~seen] = np.nan
    frames, count = points.shape[:2]
    pixels = np.full((frames, count, 2), np.nan, np.float32)
    visible = np.zeros((frames, count), bool)
    small = view.crop.at_size(RASTER_SIZE)
    by_mesh = seen if options.route in ("auto", "mesh") else np.zeros(frames, bool)
    if by_mesh.any():
        pixels[by_mesh] = project(camera.intrinsics, in_camera[by_mesh])
        margin = options.visibility_margin * diagonal
        drawn = visibility(in_camera, buffers, small.intrinsics(camera.intrinsics), margin)
        height, width = view.window.images.shape[1:3]
        low, high = np.array([-0.5, -0.5]), np.array([width - 0.5, height - 0.5])
        inside = ((pixels >= low) & (pixels < high)).all(-1)
        visible[by_mesh] = (drawn & inside)[by_mesh]
    confidence = frame_confidence(matches, anchor, count)
    notes: tuple[Note, ...] = ()
    rest = ~by_mesh if options.route != "mesh" else np.zeros(frames, bool)
    if rest.any():
        found = track_patches(state.last_px, view.maps.token_tokens, view.maps.token_patches, view.crop, anchor)
        # A short window was padded for the networks; its tracks are not.
        found = PatchTracks(found.points_px[:frames], found.score[:frames])
        pixels[rest] = found.points_px[rest]
        visible[rest] = patch_visibility(found, options.score_floor)[rest]
        best = np.maximum(found.score.max(axis=1, keepdims=True), 1e-20)
        confidence[rest] = (found.score / best)[rest]
        if options.route == "auto":
            text = f"2D tracks follow image patches in {int(rest.sum())} of {frames} frames, which have no camera pose"
            notes = (Note("tracks_by_patches", text),)
    tracks = PointTracks(
        state.ids, pixels, points, in_camera, visible, confidence, state.colors, state.face, state.barycentric
    )
    return tracks, notes


def patch_visibility(found: PatchTracks, score_floor: float) -> np.ndarray:
    """[F, Q] bool: without a camera, a point is visible if its score is above this share of its frame's median."""
    typical = np.median(found.score, axis=1, keepdims=True)
    visible: np.ndarray = (found.score > score_floor * typical) & np.isfinite(found.points_px[..., 0])
    return visible


def frame_confidence(matches: LandmarkMatches, anchor: int, count: int) -> np.ndarray:
    """[F, Q] float32 confidence of points on the mesh: a frame's mean match score over the window's best; 1 in the
    anchor."""
    mean = matches.confidence.mean(1).cpu().numpy().astype(np.float32)
    others = np.delete(mean, anchor)
    best = float(others.max()) if len(others) and others.max() > 0 else 1.0
    share = np.clip(mean / best, 0.0, 1.0)
    share[anchor] = 1.0
    return np.repeat(share[:, None], count, axis=1)
