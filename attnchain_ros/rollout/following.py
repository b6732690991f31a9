"""A window with the preset "full": reads fused, landmarks on rigid parts, parts laid onto pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..camera.crop import union_crop
from ..camera.motion import CameraMotion
from ..camera.tracks3d import carry_points
from ..config import PartsConfig, RolloutConfig
from ..conventions import ANCHOR_FRAME
from ..mesh.skinning import skin_vertices
from ..notes import Note
from ..parts.contour import Contours
from ..parts.flow import cut_view, working_crop
from ..parts.fusion import Read, fuse_reads
from ..parts.keyframes import least_missed, read_error, turn_between, view_variance, worth_keeping
from ..parts.links import Links
from ..parts.merging import merge_patches
from ..parts.moments import motion_moments, rigid_motions
from ..parts.patches import make_patches
from ..parts.pixels import (
    FRESH_WEIGHT,
    KEY_WEIGHT,
    Carrier,
    Coupling,
    Followed,
    KeyPicture,
    PixelFollower,
    PointState,
    look_at_mesh,
)
from ..parts.rigid import carry_landmarks, fit_parts
from .animating import Animation, clean_matches, keep_vertex_history, steady_vertices
from .cameras import estimate_cameras
from .first_look import look_around
from .holding import hold_by_outlines
from .matching import window_seed
from .state import Anchor, Keyframe, Memory, RolloutState, TrackState
from .trace import Trace, View
from .tracking import start_tracks
from .window import CameraTrack, PointTracks

LEAST_LAID = 0.5
"""Share of a window's frames in which landmarks must rest for the cameras to come from them."""

PIXEL_VARIANCE = 0.04**2
"""Largest variance handed on of landmarks on parts that their tracks agree with, squared object units."""

OTHER_PICTURES = 2
"""Key pictures beside the first in which a window looks for lost points."""


@dataclass(frozen=True)
class ChainMotion:
    """What the reads say about a window, before pixels are asked.

    Attributes:
        animation: of all frames.
        landmarks: [n, K, 3] float64 of the new frames, on rigid parts.
        part: [K] rigid part of each landmark; None where parts are off.
        variance: [K] of the landmarks in the last frame, squared object units.
        memory: with this window's evidence.
        links: where parts hold each other, where no network says anything; else None.
    """

    animation: Animation
    landmarks: np.ndarray
    part: np.ndarray | None
    variance: np.ndarray
    memory: Memory
    links: Links | None = None


def start_memory(anchor: Anchor, config: PartsConfig) -> Memory:
    """For an anchor that nothing was seen of."""
    mesh = anchor.mesh
    patches = make_patches(mesh.vertices, mesh.faces, anchor.landmark_vertices, config.patches)
    return Memory(patches, (), np.zeros(len(patches.of)))


def read_of(trace: Trace, variance: np.ndarray, config: RolloutConfig) -> Read:
    """The new frames of a trace as a read; ``variance`` [K] of the landmarks where it is anchored."""
    points, valid, _ = clean_matches(trace.state.anchor, trace.matches, config)
    new = slice(ANCHOR_FRAME + 1, trace.frames)
    source = trace.matches.points[ANCHOR_FRAME].cpu().numpy().astype(np.float64)
    return Read(points[new].cpu().numpy().astype(np.float64), valid[new].cpu().numpy(), source, variance)


def skinner(anchor: Anchor) -> Callable[[np.ndarray], np.ndarray]:
    """Landmarks [F, K, 3] to vertices [F, V, 3] float32, from the rest pose."""
    rest = torch.from_numpy(anchor.mesh.vertices)
    places = rest[torch.from_numpy(anchor.landmark_vertices)]

    def skin(landmarks: np.ndarray) -> np.ndarray:
        return skin_vertices(rest, places, torch.from_numpy(landmarks.astype(np.float32)), anchor.weights).numpy()

    return skin


def chain_motion(trace: Trace, second: tuple[Trace, np.ndarray] | None, config: RolloutConfig) -> ChainMotion:
    """Fuse the reads of a window and put the landmarks on rigid parts.

    Args:
        trace: from the previous frame; at least two frames.
        second: the read from a keyframe, and the variance of the keyframe's landmarks.
        config: of parts and matching.
    """
    state, options = trace.state, config.parts
    memory = start_memory(state.anchor, options) if state.memory is None else state.memory
    reads = [read_of(trace, memory.variance, config)]
    if second is not None:
        reads.append(read_of(second[0], second[1], config))
    patches = memory.patches
    fused = fuse_reads(reads, patches, options.sigma_landmark)
    landmarks, part = fused.points, None
    if options.rigid:
        moments = motion_moments(patches.rest, fused.points, fused.weight, patches.of, patches.count)
        memory = replace(memory, evidence=(*memory.evidence, moments)[-options.memory :])
        evidence = np.concatenate(memory.evidence, axis=1)
        label = merge_patches(evidence, patches.pairs, options.merge_ratio, config.frames - 1)
        part = label[patches.of]
        part = np.unique(part, return_inverse=True)[1]
        motions = fit_parts(patches.rest, fused.points, fused.weight, part, options.robust_scale)
        landmarks = carry_landmarks(patches.rest, part, *motions)
    vertices = skinner(state.anchor)(landmarks)
    valid = np.concatenate([np.ones((1, len(patches.of)), bool), fused.found])
    looked = [frame for frame in range(trace.frames) if frame not in trace.matches.skipped]
    frame = np.arange(trace.frames)
    # A frame that was skipped is as sure as the nearest one that was not: its camera needs correspondences, too.
    valid = valid[np.array(looked)[np.abs(frame[:, None] - looked).argmin(axis=1)]]
    animation = join_frames(state, landmarks, vertices, valid)
    return ChainMotion(animation, landmarks, part, fused.variance, memory)


def join_frames(state: RolloutState, landmarks: np.ndarray, vertices: np.ndarray, valid: np.ndarray) -> Animation:
    """The anchor frame as it is handed over, and the new frames [n, ...]."""
    here = state.vertices[state.anchor.landmark_vertices]
    return Animation(
        np.concatenate([state.vertices[None], vertices]).astype(np.float32),
        np.concatenate([here[None], landmarks]).astype(np.float32),
        valid,
        0,
    )


def settle(state: RolloutState, animation: Animation, sigma: float) -> Animation:
    """Smooth the vertices over time and keep what the next window's smoothing needs."""
    vertices = steady_vertices(state, torch.from_numpy(animation.vertices), sigma)
    keep_vertex_history(state, vertices[:-1], sigma)
    return replace(animation, vertices=vertices.numpy())


def carrier_of(trace: View, tracks: TrackState, rest: np.ndarray, config: RolloutConfig) -> Carrier:
    """The anchor mesh with its landmarks [K, 3] at rest and the tracked points."""
    anchor = trace.state.anchor
    mesh = anchor.mesh
    queries = carry_points(mesh.vertices[None], mesh.faces, tracks.face, tracks.barycentric)[0]
    return Carrier(
        mesh.faces, anchor.landmark_vertices, rest, tracks.face, tracks.barycentric,
        np.concatenate([rest, queries.astype(np.float64)]), skinner(anchor),
        config.tracks.visibility_margin * trace.diagonal,
    )  # fmt: skip


def begin_pixels(trace: View, memory: Memory, camera: CameraTrack, tracks: TrackState, config: RolloutConfig) -> Memory:
    """Make the window's first frame the first keyframe, if it has a pose and there is none yet."""
    pose = camera.camera_from_object[ANCHOR_FRAME]
    if memory.points is not None or not (camera.valid[ANCHOR_FRAME] or trace.state.pose is not None):
        return memory
    pixels = seen_pixels(trace, memory, pose, tracks, config)
    landmarks = len(memory.patches.of)
    pixels[landmarks:] = tracks.last_px
    return replace(memory, keyframes=(first_keyframe(trace, memory, pose, pixels),), points=PointState.start(pixels))


def seen_pixels(trace: View, memory: Memory, pose: np.ndarray, tracks: TrackState, config: RolloutConfig) -> np.ndarray:
    """[N, 2] full-frame pixels where the mesh has its points in the window's first frame; NaN where they are hidden."""
    carrier = carrier_of(trace, tracks, memory.patches.rest, config)
    crop = working_crop(union_crop(trace.window.masks, config.crop_padding, 1), config.parts.work_px)
    sight = look_at_mesh(carrier, trace.state.vertices, pose, crop.intrinsics(trace.intrinsics), crop.size)
    pixels = crop.crop_to_full(sight.pixels)
    pixels[~sight.visible] = np.nan
    return pixels


def after_gap(
    trace: View, chain: ChainMotion, pose: np.ndarray, tracks: TrackState, config: RolloutConfig
) -> PointState | None:
    """The points of a window that does not begin where the one before ended.

    The chain says where the object's parts are, so that all tracks wait until they are found again. Where nothing says
    it, tracks begin where the mesh has them under the pose [4, 4] of the first frame, with little weight.
    """
    points = chain.memory.points
    if points is None or trace.shared_first:
        return points
    if chain.links is None:
        return replace(points, alive=np.zeros_like(points.alive))
    begun = PointState.start(seen_pixels(trace, chain.memory, pose, tracks, config))
    return replace(begun, weight=np.full_like(begun.weight, FRESH_WEIGHT), frames=points.frames)


def first_keyframe(trace: View, memory: Memory, pose: np.ndarray, pixels: np.ndarray) -> Keyframe:
    """The window's first frame as a keyframe: its pose [4, 4], and where its points are seen [N, 2]."""
    state, window = trace.state, trace.window
    # Copies: a view would keep the pictures of the whole window.
    image, mask = window.images[ANCHOR_FRAME].copy(), window.masks[ANCHOR_FRAME].copy()
    view = view_of(memory.patches.rest, state.vertices[state.anchor.landmark_vertices], pose)
    return Keyframe(
        image, mask, int(window.stamps_ns[ANCHOR_FRAME]), state.latent, state.vertices, memory.variance, view,
        KeyPicture(image, mask, pixels, 1.0),
    )  # fmt: skip


def view_of(rest: np.ndarray, places: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """[3, 3] how the object as a whole is turned in the camera: landmarks [K, 3] at rest and now, pose [4, 4]."""
    moments = motion_moments(rest, places[None], np.ones((1, len(rest))), np.zeros(len(rest), np.int64), 1)
    turn: np.ndarray = pose[:3, :3] @ rigid_motions(moments[0, 0])[0]
    return turn


def pixel_follower(
    trace: View, chain: ChainMotion, memory: Memory, poses: np.ndarray, tracks: TrackState, config: RolloutConfig
) -> PixelFollower | None:
    """What follows the window's pixels under cameras [F, 4, 4]; None where there are no parts, or never was a pose."""
    if not config.parts.pixels or chain.part is None or memory.points is None:
        return None
    window = trace.window
    crop = working_crop(union_crop(window.masks, config.crop_padding, 1), config.parts.work_px)
    views = [cut_view(image, mask, crop) for image, mask in zip(window.images, window.masks, strict=True)]
    coupling = None
    if chain.links is not None:
        anchor, masks = trace.state.anchor, np.stack([view.mask for view in views])
        part = chain.part[anchor.weights.index[:, 0]]
        coupling = Coupling(chain.links, Contours(anchor.mesh.faces, part, masks, crop.intrinsics(trace.intrinsics)))
    return PixelFollower(
        carrier_of(trace, tracks, memory.patches.rest, config), views, crop, trace.intrinsics, poses,
        pictures_to_look_in(memory, trace.state), chain.part, coupling,
    )  # fmt: skip


@dataclass(frozen=True)
class Posed:
    """A window with its cameras.

    Attributes:
        camera: of all frames.   notes: why poses were refused.
        memory: with the first keyframe, once there is one.
        follower: of the window's pixels; None where they cannot be followed.
    """

    camera: CameraTrack
    notes: tuple[Note, ...]
    memory: Memory
    follower: PixelFollower | None


@dataclass(frozen=True)
class Guess:
    """Cameras of a window before its pixels were asked.

    Attributes:
        camera: of all frames.   notes: why poses were refused.
        alone: only the first frame's pose says something.
    """

    camera: CameraTrack
    notes: tuple[Note, ...] = ()
    alone: bool = False


Guesser = Callable[[View, ChainMotion, RolloutConfig, CameraMotion | None], Guess]
"""From a window, what the chain says about it, options and the camera's motion where it is known, to its cameras."""


def guess_by_attention(
    trace: View, chain: ChainMotion, config: RolloutConfig, motion: CameraMotion | None = None
) -> Guess:
    """Cameras from patches and outlines, as with the preset "paper"; in a first frame all directions are tried."""
    seed = window_seed(config, trace.state)
    camera, notes = estimate_cameras(trace, chain.animation, config.camera, seed, motion)
    asked = config.parts.cameras and config.camera.refine == "outline" and motion is None
    if asked and chain.memory.points is None and camera.valid[ANCHOR_FRAME]:
        camera, turned = look_around(trace, chain.animation.vertices, camera, config)
        return Guess(camera, notes, turned)
    return Guess(camera, notes)


def pose_window(
    trace: View,
    state: RolloutState,
    chain: ChainMotion,
    config: RolloutConfig,
    motion: CameraMotion | None = None,
    guesser: Guesser = guess_by_attention,
) -> Posed:
    """Cameras of a window; attaches the tracked points to the mesh in the first one (``state.tracks``).

    Landmarks that rest say how the camera moved. Where they are too few, in the first window, and where the camera's
    ``motion`` is known, ``guesser`` is asked.
    """
    memory, options = chain.memory, config.parts
    laid = options.cameras and config.camera.estimate and motion is None and trace.frames > 1
    if laid and state.tracks is not None and state.pose is not None and trace.shared_first:
        poses = np.repeat(state.pose[None], trace.frames, axis=0)
        follower = pixel_follower(trace, chain, memory, poses, state.tracks, config)
        if follower is not None and memory.points is not None:
            resting, misses = follower.lay_cameras(chain.landmarks, memory.points, config.camera.turn_deg, False)
            if (resting > 0).mean() >= LEAST_LAID:
                camera = camera_from_pixels(trace, follower.cameras, resting, misses)
                camera = held(trace, chain, camera, config)
                follower.cameras = camera.camera_from_object
                return Posed(camera, (), memory, follower)
    guess = guesser(trace, chain, config, motion)
    camera = guess.camera
    if state.tracks is None:
        state.tracks = start_tracks(trace, chain.animation, camera, config.tracks)  # Eq. 9, the rays of the queries
    if config.parts.pixels:
        memory = begin_pixels(trace, memory, camera, state.tracks, config)
    if state.index and chain.memory.points is not None:
        pose = camera.camera_from_object[ANCHOR_FRAME]
        memory = replace(memory, points=after_gap(trace, chain, pose, state.tracks, config))
    follower = pixel_follower(trace, chain, memory, camera.camera_from_object, state.tracks, config)
    if laid and follower is not None and memory.points is not None:
        resting, misses = follower.lay_cameras(chain.landmarks, memory.points, config.camera.turn_deg, not guess.alone)
        if (resting > 0).mean() >= LEAST_LAID:
            camera = camera_from_pixels(trace, follower.cameras, resting, misses)
        if state.index:
            camera = held(trace, chain, camera, config)
        follower.cameras = camera.camera_from_object
    return Posed(camera, guess.notes, memory, follower)


def held(trace: View, chain: ChainMotion, camera: CameraTrack, config: RolloutConfig) -> CameraTrack:
    """Poses from pixels, brought back by outlines; not where nothing says yet how the object moves.

    There a mask that the mesh leaves bare says more often that the object has moved than that the camera has.
    """
    if chain.links is not None:
        return camera
    return hold_by_outlines(trace, chain.animation.vertices, camera, config.camera)


def camera_from_pixels(trace: View, poses: np.ndarray, resting: np.ndarray, misses: np.ndarray) -> CameraTrack:
    """Poses [F, 4, 4] of all frames, of which the first was known before."""
    window = trace.window
    return CameraTrack(
        trace.intrinsics, window.intrinsics is not None, poses, np.ones(len(poses), bool),
        np.concatenate([resting[:1], resting]).astype(np.int32), np.concatenate([misses[:1], misses]),
    )  # fmt: skip


def follow_window(
    trace: View, state: RolloutState, chain: ChainMotion, posed: Posed, config: RolloutConfig
) -> tuple[Animation, Followed | None]:
    """From what the chain says to what the pixels say: the window's animation; updates ``state``."""
    memory, followed, moved = posed.memory, None, chain.animation
    if posed.follower is not None and memory.points is not None and len(chain.landmarks):
        followed = posed.follower.run(chain.landmarks, memory.points)
        memory = replace(memory, points=followed.state)
        valid = moved.valid
        if chain.links is not None:
            valid = np.concatenate([valid[:1], followed.stack("sure")])
        moved = join_frames(trace.state, followed.stack("landmarks"), followed.stack("vertices"), valid)
    if not memory.keyframes:
        # Without a pose there are no pixels, but there can be a second read.
        nowhere = np.full((len(memory.patches.of), 2), np.nan)
        memory = replace(memory, keyframes=(first_keyframe(trace, memory, np.eye(4), nowhere),))
    state.landmark_history = None
    variance = chain.variance
    if followed is not None:
        sure = followed.frames[-1].sure
        variance = np.where(sure, np.minimum(variance, PIXEL_VARIANCE), variance)
    state.memory = replace(memory, variance=variance)
    return settle(state, moved, config.parts.sigma_final), followed


def choose_keyframe(memory: Memory, state: RolloutState) -> tuple[Keyframe, np.ndarray]:
    """The keyframe from which the next read promises the least error, and the variance [K] of that read's anchor."""
    now = state.vertices[state.anchor.landmark_vertices]
    pose = np.eye(4) if state.pose is None else state.pose
    view = view_of(memory.patches.rest, now, pose)

    def promised(key: Keyframe) -> float:
        kept = key.vertices[state.anchor.landmark_vertices]
        return read_error(key.variance, kept, now, turn_between(key.view, view), memory.patches)

    best = min(memory.keyframes, key=promised)
    return best, best.variance + view_variance(best.view, view)


def keep_keyframe(trace: View, state: RolloutState, followed: Followed | None, config: RolloutConfig) -> None:
    """Keep the window's last frame as a keyframe where it shows a new side; ``state`` is that of the next window."""
    memory, options = state.memory, config.parts
    if followed is None or memory is None or not memory.keyframes or state.pose is None or options.keyframes < 2:
        return
    places = state.vertices[state.anchor.landmark_vertices]
    view = view_of(memory.patches.rest, places, state.pose)
    kept = [key.view for key in memory.keyframes]
    if not worth_keeping(view, kept, memory.variance, np.deg2rad(options.key_turn_deg)):
        return
    last = followed.frames[-1]
    shown = last.shown.copy()
    # The mesh is good enough to say where a landmark is, not for a pixel that was asked for.
    shown[len(memory.patches.of) :] = False
    pixels = np.where((last.alive | shown)[:, None], last.points_px, np.nan)
    image, mask = trace.window.images[-1].copy(), trace.window.masks[-1].copy()
    key = Keyframe(
        image, mask, int(trace.window.stamps_ns[-1]), state.latent, state.vertices, memory.variance, view,
        KeyPicture(image, mask, pixels, KEY_WEIGHT),
    )  # fmt: skip
    keys = [*memory.keyframes, key]
    if len(keys) > options.keyframes:
        del keys[least_missed([kept.view for kept in keys])]
    state.memory = replace(memory, keyframes=tuple(keys))


def pictures_to_look_in(memory: Memory, state: RolloutState) -> list[KeyPicture]:
    """The first picture, and of the others those that show the object most as it is seen now."""
    if state.pose is None:
        return [memory.keyframes[0].picture]
    view = view_of(memory.patches.rest, state.vertices[state.anchor.landmark_vertices], state.pose)
    others = sorted(memory.keyframes[1:], key=lambda key: turn_between(key.view, view))
    return [memory.keyframes[0].picture, *(key.picture for key in others[:OTHER_PICTURES])]


def lay_on_pixels(tracks: PointTracks, followed: Followed, config: RolloutConfig) -> PointTracks:
    """2D tracks by flow where its checks hold, by the mesh where not."""
    new = slice(followed.frames[0].points_px.shape[0] - tracks.points_px.shape[1], None)
    points, visible, confidence = tracks.points_px.copy(), tracks.visible.copy(), tracks.confidence.copy()
    found = followed.stack("points_px")[:, new]
    points[1:] = np.where(np.isfinite(found), found, points[1:])
    visible[1:] = followed.stack("alive")[:, new] | followed.stack("shown")[:, new]
    confidence[1:] = followed.stack("confidence")[:, new]
    return replace(tracks, points_px=points, visible=visible, confidence=confidence)
