"""On the generator's pictures: a thing that does not move in itself, under a camera that goes round it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.lab.synthetic import ClipConfig, make_clip
from attnchain_ros.lab.synthetic.cameras import orbit_cameras
from attnchain_ros.lab.synthetic.motion import take_frames
from attnchain_ros.lab.synthetic.render import render_pictures
from attnchain_ros.live.config import LiveConfig
from attnchain_ros.live.lane import LiveLane
from attnchain_ros.live.pictures import LivePicture, small_picture
from attnchain_ros.live.start import start_from
from attnchain_ros.rollout.window import CameraTrack, PointTracks, WindowResult
from attnchain_ros.stream.frame import ImageKind

STEP_NS = 33_333_333
FRAMES = 20


@pytest.mark.parametrize("family", ["box", "creature"])
def test_a_rigid_motion_is_recovered_within_two_degrees(family: str):
    clip = make_clip(3, ClipConfig(family=family, frames=2, image_size=240, surface_points=400))
    still = take_frames(clip.pose, np.zeros(FRAMES, np.int64))
    yaw = np.deg2rad(20 + 0.5 * np.arange(FRAMES))
    distance = float(np.linalg.norm(clip.camera_from_object[0][:3, 3])) * (1 + 0.005 * np.arange(FRAMES))
    cameras = orbit_cameras(yaw, 0.3, distance)
    seen = render_pictures(clip.model, still, clip.intrinsics, cameras, 240, (120, 130, 140), clip.light)

    count = len(clip.surface_points[0])
    points = clip.surface_points[0]
    depth = points @ cameras[0][2, :3] + cameras[0][2, 3]
    pixel = (points @ cameras[0][:3, :3].T + cameras[0][:3, 3]) @ clip.intrinsics.T
    cell = np.clip((pixel[:, :2] / pixel[:, 2:]).round().astype(int), 0, 239)
    visible = np.abs(seen.depth[0][cell[:, 1], cell[:, 0]] - depth) < 0.02
    vertices = clip.vertices[:1]
    result = WindowResult(
        index=0, topology_id=0, stamps_ns=np.array([0]), shared_first=False, vertices=vertices, faces=clip.faces,
        vertex_colors=np.zeros((vertices.shape[1], 3), np.uint8), confidence=np.ones(1, np.float32),
        landmark_vertices=np.zeros(1, np.int64), landmarks=vertices[:, :1], landmark_valid=np.ones((1, 1), bool),
        tracks=PointTracks(
            ids=np.arange(count), points_px=np.zeros((1, count, 2), np.float32), points_object=points[None],
            points_camera=points[None], visible=visible[None], confidence=np.ones((1, count), np.float32),
            colors=np.zeros((count, 3), np.uint8), face=np.zeros(count, np.int32),
            barycentric=np.zeros((count, 3), np.float32),
        ),
        camera=CameraTrack(clip.intrinsics, True, cameras[:1], np.ones(1, bool), np.ones(1, np.int32), np.ones(1)),
        scale=1.0, metric=False, silhouette_iou=1.0,
    )  # fmt: skip
    config = LiveConfig()
    lane = LiveLane(config)
    for frame in range(FRAMES):
        image = seen.images[frame]
        kind = ImageKind(frame * STEP_NS, image.shape, "camera")
        picture = LivePicture(small_picture(image, config.size_px), kind, 0.0, clip.intrinsics)
        pose = lane.see(picture)
        if frame == 0:
            assert lane.begin(start_from(result, image, seen.masks[0], 0.0, config))
            continue
        assert pose is not None and not pose.lost
        found, true = pose.camera_from_object, cameras[frame]
        turn = Rotation.from_matrix(found[:3, :3].T @ true[:3, :3]).magnitude()
        assert np.degrees(turn) < 2.0
        assert np.linalg.norm(found[:3, 3] - true[:3, 3]) < 0.02 * distance[frame]
        # In standard deviations: what the covariance says is no smaller than what is wrong.
        assert turn < 4 * np.sqrt(pose.covariance[3:, 3:].trace())
    # Lost when nothing is shown any more.
    blank = dataclasses.replace(picture, grey=np.full_like(picture.grey, 128), kind=kind._replace(stamp_ns=10**9))
    assert lane.see(blank).lost == "few_points"
