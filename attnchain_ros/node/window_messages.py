"""From a window's result to the package's own messages, with flat arrays that cost next to nothing to fill."""

from __future__ import annotations

import numpy as np

from attnchain_ros.msg import AnimatedMesh, Tracks

from ..rollout.window import WindowResult
from .messages import flat, header, time_message


def mesh_message(result: WindowResult, object_frame: str, object_id: int) -> AnimatedMesh:
    """The animated mesh of a window, in the object's frame."""
    frames, vertices = result.vertices.shape[:2]
    return AnimatedMesh(
        header=header(int(result.stamps_ns[0]), object_frame),
        object_id=object_id,
        window_index=result.index,
        topology_id=result.topology_id,
        anchor_index=0,
        frame_count=frames,
        vertex_count=vertices,
        stamps=[time_message(int(stamp)) for stamp in result.stamps_ns],
        triangles=flat("I", result.faces),
        vertices=flat("f", result.vertices * np.float32(result.scale)),
        vertex_colors=flat("B", result.vertex_colors),
        confidence=flat("f", result.confidence),
        scale=float(result.scale),
        metric=bool(result.metric),
    )


def tracks_message(
    result: WindowResult, points_px: np.ndarray, camera_frame: str, object_frame: str, object_id: int
) -> Tracks:
    """The tracks of a window; ``points_px`` [F, Q, 2] are pixels of the image as published."""
    tracks = result.tracks
    scale = np.float32(result.scale)
    has_object = bool(np.isfinite(tracks.points_object).any())
    return Tracks(
        header=header(int(result.stamps_ns[0]), camera_frame),
        object_id=object_id,
        object_frame_id=object_frame,
        window_index=result.index,
        frame_count=result.frames,
        track_count=len(tracks.ids),
        stamps=[time_message(int(stamp)) for stamp in result.stamps_ns],
        ids=flat("q", tracks.ids),
        points_px=flat("f", points_px),
        points_camera=flat("f", tracks.points_camera * scale),
        points_object=flat("f", tracks.points_object * scale) if has_object else flat("f", np.zeros(0)),
        visible=flat("B", np.where(tracks.visible, Tracks.VISIBLE, Tracks.HIDDEN)),
        confidence=flat("f", tracks.confidence),
        scale=float(result.scale),
        metric=bool(result.metric),
    )
