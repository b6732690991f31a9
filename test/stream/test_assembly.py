"""From batches to windows: masks carried on, depth found, distortion removed."""

from __future__ import annotations

import numpy as np

from attnchain_ros.stream.assembly import WindowAssembler
from attnchain_ros.stream.buffer import FrameBuffer
from attnchain_ros.stream.camera import CameraNumbers
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import DepthImage, Frame

SIZE = (60, 80)
STEP_NS = 10**8


def scene(shift: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc that moves over a blue floor, and its mask."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    mask = (x - 25 - shift) ** 2 + (y - 30) ** 2 < 12**2
    rng = np.random.default_rng(shift)
    image = np.where(mask[..., None], (200, 30, 30), (20, 40, 180)) + rng.integers(-9, 10, (*SIZE, 3))
    return image.astype(np.uint8), mask


def batch_of(count: int, *, masks: int, mode: str = "every"):
    buffer = FrameBuffer(StreamConfig(queue_size=count, mask_mode=mode), count)
    for number in range(count):
        image, mask = scene(2 * number)
        buffer.push(Frame(image, mask if number < masks else None, (number + 1) * STEP_NS))
    batch = buffer.take()
    assert batch is not None
    return batch


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_a_window_holds_what_came():
    window = WindowAssembler().assemble(batch_of(3, masks=3).frames)
    assert window.images.shape == (3, *SIZE, 3) and window.intrinsics is None and window.depth_m is None
    assert window.stamps_ns.tolist() == [STEP_NS, 2 * STEP_NS, 3 * STEP_NS]
    for number in range(3):
        image, mask = scene(2 * number)
        np.testing.assert_array_equal(window.images[number], image)
        np.testing.assert_array_equal(window.masks[number], mask)


def test_the_first_mask_is_carried_on():
    batch = batch_of(5, masks=1, mode="first")
    assembler = WindowAssembler()
    window = assembler.assemble(batch.frames)
    for number in range(5):
        assert overlap(window.masks[number], scene(2 * number)[1]) > 0.85
    # the last one stays with its frame, for the next window to go on from
    assert batch.frames[-1].mask is not None


def test_depth_is_found_by_stamp():
    assembler = WindowAssembler(tolerance_ns=10**7)
    depths = assembler.depths
    depths.add(2 * STEP_NS + 5_000_000, DepthImage(np.full(SIZE, 1.5, np.float32), 0))
    depths.add(3 * STEP_NS + 50_000_000, DepthImage(np.full(SIZE, 9.0, np.float32), 0))
    window = assembler.assemble(batch_of(3, masks=3).frames)
    assert [float(depth.max()) for depth in window.depth_m] == [0.0, 1.5, 0.0]


def test_depth_of_another_size_is_ignored_and_told():
    assembler = WindowAssembler(tolerance_ns=10**7)
    assembler.depths.add(STEP_NS, DepthImage(np.ones((6, 8), np.float32), 0))
    assert assembler.assemble(batch_of(2, masks=2).frames).depth_m is None
    assert any("depth is 8x6, the image is 80x60" in note.text for note in assembler.notes)


def test_depth_seen_from_another_frame_is_ignored_and_told():
    assembler = WindowAssembler(tolerance_ns=10**7)
    for name, used in (("depth_optical", False), ("", True), ("lens", True)):
        assembler.depths.add(STEP_NS, DepthImage(np.ones(SIZE, np.float32), 0, name))
        frames = [Frame(*scene(number), (number + 1) * STEP_NS, frame_id="lens") for number in range(2)]
        assert (assembler.assemble(frames).depth_m is not None) == used
        text = "depth is seen from depth_optical, the image from lens: it is ignored; give depth registered to"
        assert any(text in note.text for note in assembler.notes) != used


def test_one_stray_pixel_leaves_the_window_as_it_was_and_is_told():
    clean = WindowAssembler().assemble(batch_of(3, masks=3).frames)
    spoilt = batch_of(3, masks=3).frames
    spoilt[1].mask[2, 77] = True
    assembler = WindowAssembler()
    np.testing.assert_array_equal(assembler.assemble(spoilt).masks, clean.masks)
    assert [note.text for note in assembler.notes if note.code == "mask_specks"] == [
        "the mask at 0.200 s has 1 specks and 0 holes of dust, 1 pixels in all, which were left out and filled"
    ]


def test_intrinsics_that_were_given_win_over_any_calibration():
    given = np.array([[90.0, 0, 40], [0, 91.0, 30], [0, 0, 1]])
    k = (70.0, 0.0, 39.5, 0.0, 70.0, 29.5, 0.0, 0.0, 1.0)
    for model, d in (("plumb_bob", (0.0,) * 5), ("brown", (0.1, 0.2)), ("plumb_bob", (np.inf,) * 5)):
        for intrinsics, wanted in ((given, given), (None, np.reshape(k, (3, 3)))):
            assembler = WindowAssembler(intrinsics=intrinsics)
            assembler.cameras.update(CameraNumbers(80, 60, k, (0.0,) * 12, d, model))
            window = assembler.assemble(batch_of(2, masks=2).frames)
            np.testing.assert_array_equal(window.intrinsics, wanted)
            np.testing.assert_array_equal(window.masks[0], scene(0)[1])


def test_distortion_is_removed_from_image_and_mask():
    assembler = WindowAssembler()
    k = (70.0, 0.0, 39.5, 0.0, 70.0, 29.5, 0.0, 0.0, 1.0)
    assembler.cameras.update(CameraNumbers(80, 60, k, (0.0,) * 12, (-0.3, 0.1, 0.0, 0.0, 0.0), "plumb_bob"))
    window = assembler.assemble(batch_of(2, masks=2).frames)
    np.testing.assert_array_equal(window.intrinsics, np.reshape(k, (3, 3)))
    _, mask = scene(0)
    assert (window.masks[0] != mask).sum() > 5
    # image and mask moved together: red is where the mask is
    red = window.images[0][..., 0] > 120
    assert overlap(red, window.masks[0]) > 0.9


def test_without_any_mask_the_object_is_cut_out_from_the_box_and_followed_into_the_next_window():
    buffer = FrameBuffer(StreamConfig(queue_size=8, overflow_policy="block", foreground="grabcut"), 3)
    for number in range(5):
        buffer.push(Frame(scene(2 * number)[0], None, (number + 1) * STEP_NS))
    assembler = WindowAssembler((8, 12, 40, 36))
    batch = buffer.take()
    first = assembler.assemble(batch.frames)
    assert any("cut out by GrabCut, starting from the box 8,12,40,36" in note.text for note in assembler.notes)
    buffer.finish(batch)
    second = assembler.assemble(buffer.take().frames)
    assert not any("box" in note.text for note in assembler.notes), (
        "the second window goes on from the first one's mask"
    )
    masks = [*first.masks, *second.masks[1:]]
    for number, mask in enumerate(masks):
        assert overlap(mask, scene(2 * number)[1]) > 0.85
    np.testing.assert_array_equal(second.masks[0], first.masks[-1])


def test_a_window_is_read_with_the_calibration_of_its_own_time():
    assembler = WindowAssembler()
    k = [70.0, 0.0, 39.5, 0.0, 70.0, 29.5, 0.0, 0.0, 1.0]
    for stamp, focal in ((0, 70.0), (10 * STEP_NS, 140.0)):  # the zoom comes while the window still waits
        k[0] = k[4] = focal
        assembler.cameras.update(CameraNumbers(80, 60, tuple(k), (0.0,) * 12, (), ""), stamp)
    window = assembler.assemble(batch_of(2, masks=2).frames)
    assert window.intrinsics[0, 0] == 70.0
