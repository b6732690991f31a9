"""From what was heard over ROS back to window results, and what is missing in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...camera.poses import invert_pose
from ...rollout.window import CameraTrack, PointTracks, WindowResult
from .recorder import Pose, Recording, stamp_ns

_NAMED = 8


def missing_parts(recording: Recording, frames: int) -> list[str]:
    """A sentence for everything that did not come; empty if every frame came on every topic."""
    sent = sorted(recording.intrinsics)
    if len(sent) != frames:
        return [f"camera_info came {len(sent)} times, wanted {frames}: images were lost before the node"]
    faults = []
    in_meshes = {stamp_ns(stamp) for mesh in recording.meshes.values() for stamp in mesh.stamps}
    in_tracks = {stamp_ns(stamp) for tracks in recording.tracks.values() for stamp in tracks.stamps}
    for topic, heard in (
        ("mesh", in_meshes),
        ("tracks_window", in_tracks),
        ("tracks", set(recording.clouds)),
        ("camera_pose", set(recording.poses)),
        ("/tf", set(recording.transforms)),
    ):
        wanted = set(sent)
        if topic == "/tf":
            # A transform has no covariance that could say that its pose is not trusted, so that it is withheld.
            wanted = {stamp for stamp in sent if _estimated(recording, stamp)}
        elif topic == "camera_pose":
            # Before the first pose that is trusted there is none to repeat.
            wanted = {stamp for stamp in sent if stamp >= min(recording.poses, default=stamp + 1)}
        absent = [number for number, stamp in enumerate(sent) if stamp in wanted - heard]
        if absent:
            names = ", ".join(map(str, absent[:_NAMED])) + (", ..." if len(absent) > _NAMED else "")
            faults.append(f"{topic}: {len(absent)} of {frames} frames did not come ({names})")
        strange = len(heard - set(sent))
        if strange:
            faults.append(f"{topic}: {strange} stamps are not those of an image")
    placed = sum(_estimated(recording, stamp) for stamp in sent)
    if recording.path != placed and not faults:
        faults.append(f"camera_path: {recording.path} poses at the end, wanted {placed}")
    for stamp in set(recording.poses) & set(recording.transforms):
        # Both are the same pose, once inverted: more than rounding apart means that they disagree.
        apart = np.abs(recording.transforms[stamp] @ recording.poses[stamp].object_from_camera - np.eye(4)).max()
        if apart > 1e-6:
            faults.append(f"/tf and camera_pose disagree by {apart:.2g} at {stamp}")
            break
    return faults


def window_results(recording: Recording) -> list[WindowResult]:
    """The windows heard, in order; landmarks and the faces that carry tracks are not published and stay empty."""
    results: list[WindowResult] = []
    for index in sorted(recording.meshes):
        mesh, tracks = recording.meshes[index], recording.tracks[index]
        stamps = np.array([stamp_ns(stamp) for stamp in mesh.stamps], np.int64)
        frames, vertices = int(mesh.frame_count), int(mesh.vertex_count)
        results.append(
            WindowResult(
                index=index,
                topology_id=int(mesh.topology_id),
                stamps_ns=stamps,
                shared_first=bool(results) and bool(results[-1].stamps_ns[-1] == stamps[0]),
                vertices=_floats(mesh.vertices, frames, vertices, 3),
                faces=np.array(mesh.triangles, np.int32).reshape(-1, 3),
                vertex_colors=np.array(mesh.vertex_colors, np.uint8).reshape(-1, 3),
                confidence=_floats(mesh.confidence, frames),
                landmark_vertices=np.zeros(0, np.int64),
                landmarks=np.zeros((frames, 0, 3), np.float32),
                landmark_valid=np.zeros((frames, 0), bool),
                tracks=_tracks(tracks, recording.clouds[int(stamps[-1])]),
                camera=_camera(recording, stamps),
                scale=float(mesh.scale),
                metric=bool(mesh.metric),
                silhouette_iou=float("nan"),
            )
        )
    return results


def _estimated(recording: Recording, stamp: int) -> bool:
    """Whether a frame has a pose of its own that the node trusts."""
    return stamp in recording.poses and recording.poses[stamp].estimated


def _floats(values: Any, *shape: int) -> np.ndarray:
    return np.array(values, np.float32).reshape(shape)


def _tracks(message: Any, colors: np.ndarray) -> PointTracks:
    frames, count = int(message.frame_count), int(message.track_count)
    in_object = len(message.points_object) > 0
    absent = np.full((frames, count, 3), np.nan, np.float32)
    return PointTracks(
        ids=np.array(message.ids, np.int64),
        points_px=_floats(message.points_px, frames, count, 2),
        points_object=_floats(message.points_object, frames, count, 3) if in_object else absent,
        points_camera=_floats(message.points_camera, frames, count, 3),
        visible=np.array(message.visible, np.uint8).reshape(frames, count) == message.VISIBLE,
        confidence=_floats(message.confidence, frames, count),
        colors=colors,
        face=np.full(count, -1, np.int32),
        barycentric=np.zeros((count, 3), np.float32),
    )


def _camera(recording: Recording, stamps: np.ndarray) -> CameraTrack:
    unknown = Pose(np.eye(4), False)
    poses = [recording.poses.get(int(stamp), unknown) for stamp in stamps]
    return CameraTrack(
        intrinsics=recording.intrinsics[int(stamps[0])],
        intrinsics_given=True,
        camera_from_object=np.stack([invert_pose(pose.object_from_camera) for pose in poses]),
        valid=np.array([pose.estimated for pose in poses]),
        inliers=np.zeros(len(stamps), np.int32),
        reprojection_px=np.full(len(stamps), np.nan, np.float32),
    )
