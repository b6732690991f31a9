"""Point tracks of a window, on the mesh and in the pictures (Eq. 6, 7, 9)."""

from __future__ import annotations

import numpy as np

from ..camera.raycast import RasterBuffer, intersect_pixels
from ..camera.tracks3d import carry_points, project, to_camera, visibility
from ..chain.tracks2d import PatchTracks, carry_queries
from ..config import TrackConfig
from ..conventions import ANCHOR_FRAME
from ..errors import MaskError
from ..notes import Note
from .animating import Animation
from .cameras import RASTER_SIZE
from .state import TrackState
from .trace import View
from .window import CameraTrack, PointTracks


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


def start_tracks(trace: View, moved: Animation, camera: CameraTrack, config: TrackConfig) -> TrackState:
    """Attach the queries of the first window to the anchor mesh.

    A query's ray meets the posed mesh (Eq. 9). Where the anchor frame has no pose, or the ray misses, the vertex that
    shares most attention with the query's patch carries it (Eq. 7), so that every pixel has a place on the mesh; where
    no attention was read it has none.

    Raises:
        MaskError: no queries were asked for, and the mask of the anchor frame is empty.
    """
    window, faces, vertices = trace.window, trace.state.anchor.mesh.faces, moved.vertices[ANCHOR_FRAME]
    queries = window.queries_px
    if queries is None:
        queries = grid_queries(window.masks[ANCHOR_FRAME], config.max_queries)
    queries = np.asarray(queries, np.float32)
    count = len(queries)
    face = np.full(count, -1, np.int32)
    barycentric = np.zeros((count, 3), np.float32)
    if camera.valid[ANCHOR_FRAME]:
        posed = to_camera(vertices[None], camera.camera_from_object[ANCHOR_FRAME])[0]
        face, barycentric = intersect_pixels(posed, faces, camera.intrinsics, queries)
    patch = trace.crop.patch_of(queries, trace.grid)
    missed = np.flatnonzero((face < 0) & (patch >= 0))
    if len(missed):
        vertex = trace.sight.carriers[patch[missed]]
        missed, vertex = missed[vertex >= 0], vertex[vertex >= 0]
        some_face, corner = faces_of_vertices(faces, len(vertices))
        face[missed] = some_face[vertex]
        barycentric[missed] = np.eye(3, dtype=np.float32)[corner[vertex]]
        barycentric[face < 0] = 0.0
    height, width = window.images.shape[1:3]
    place = np.rint(np.nan_to_num(queries)).astype(np.int64)
    place = np.clip(place, 0, [width - 1, height - 1])
    colors = window.images[ANCHOR_FRAME, place[:, 1], place[:, 0]]
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
    trace: View,
    moved: Animation,
    camera: CameraTrack,
    buffers: list[RasterBuffer],
    state: TrackState,
    config: TrackConfig,
) -> tuple[PointTracks, tuple[Note, ...]]:
    """Follow the tracked points through a window, in 3D on the mesh (Eq. 9) and in 2D by the chosen route.

    Args:
        trace, moved, camera: of the window.
        buffers: z-buffers of every frame (``draw_frames``); may be empty while there never was a pose.
        state: where the points sit; their last pixels start the patch route.
        config: route and thresholds.
    Returns:
        tracks and notes.
    """
    points = carry_points(moved.vertices, trace.state.anchor.mesh.faces, state.face, state.barycentric)
    # With a pose in an earlier window every frame has at least a kept one.
    seen = np.full(len(points), trace.state.pose is not None) | (np.cumsum(camera.valid) > 0)
    in_camera = to_camera(points, camera.camera_from_object)
    in_camera[~seen] = np.nan
    frames, count = points.shape[:2]
    pixels = np.full((frames, count, 2), np.nan, np.float32)
    visible = np.zeros((frames, count), bool)
    by_mesh = seen if config.route in ("auto", "mesh") else np.zeros(frames, bool)
    if by_mesh.any():
        pixels[by_mesh] = project(camera.intrinsics, in_camera[by_mesh])
        small = trace.crop.at_size(RASTER_SIZE).intrinsics(camera.intrinsics)
        drawn = visibility(in_camera, buffers, small, config.visibility_margin * trace.diagonal)
        height, width = trace.window.images.shape[1:3]
        low, high = np.array([-0.5, -0.5]), np.array([width - 0.5, height - 0.5])
        inside = ((pixels >= low) & (pixels < high)).all(-1)
        visible[by_mesh] = (drawn & inside)[by_mesh]
    confidence = np.repeat(frame_confidence(trace.sight.confidence[:frames])[:, None], count, axis=1)
    notes: tuple[Note, ...] = ()
    rest = ~by_mesh if config.route != "mesh" else np.zeros(frames, bool)
    if rest.any():
        found = carry_queries(state.last_px, trace.sight.patches, trace.crop)
        # A short window was padded for the networks; its tracks are not.
        found = PatchTracks(found.points_px[:frames], found.score[:frames])
        pixels[rest] = found.points_px[rest]
        visible[rest] = patch_visibility(found, config.score_floor)[rest]
        best = np.maximum(found.score.max(axis=1, keepdims=True), 1e-20)
        confidence[rest] = (found.score / best)[rest]
        if config.route == "auto":
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


def frame_confidence(mean: np.ndarray) -> np.ndarray:
    """[F] float32 confidence of the real frames: mean match scores [F] over the window's best; 1 in the anchor."""
    others = np.delete(mean, ANCHOR_FRAME)
    best = float(others.max()) if len(others) and others.max() > 0 else 1.0
    share: np.ndarray = np.clip(mean / best, 0.0, 1.0)
    share[ANCHOR_FRAME] = 1.0
    return share
