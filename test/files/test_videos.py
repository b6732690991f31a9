"""Videos: alpha of every codec is the mask, the container's times are the stamps, phones' rotation is honoured."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from attnchain_ros.errors import FileFormatError, MaskError
from attnchain_ros.files import videos
from attnchain_ros.files.images import ClipOptions, open_frames
from attnchain_ros.files.videos import VideoFile
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.frame import Frame
from attnchain_ros.stream.source import FrameSource
from attnchain_ros.stream.windows import ClipWindows

H, W, FRAMES = 48, 64, 5
# Container and codec: pixel format, options, pixels of the mask's edge that a lossy codec may change in a frame.
ALPHA: dict[str, tuple[str, str, dict[str, str], int]] = {
    "vp9.webm": ("libvpx-vp9", "yuva420p", {"lossless": "1"}, 0),
    "lossy_vp9.webm": ("libvpx-vp9", "yuva420p", {"crf": "20"}, 20),
    "vp8.webm": ("libvpx", "yuva420p", {"auto-alt-ref": "0", "b": "2M"}, 20),
    "qtrle.mov": ("qtrle", "argb", {}, 0),
    "png.mov": ("png", "rgba", {}, 0),
    "prores.mov": ("prores_ks", "yuva444p10le", {}, 0),
    "ffv1.mkv": ("ffv1", "yuva420p", {}, 0),
}


def square(number: int) -> np.ndarray:
    """[H, W] bool: a square that moves two pixels a frame."""
    mask = np.zeros((H, W), bool)
    mask[10:30, 8 + 2 * number : 34 + 2 * number] = True
    return mask


def film(path: Path, frames: list[np.ndarray], way: tuple[str, str, dict[str, str]], times: list[int]) -> Path:
    """A video of RGBA pictures [H, W, 4] at times in milliseconds."""
    codec, pixels, options = way
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = W, H, pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec.startswith("libvpx") and "yuva" in pixels:
            stream.metadata["alpha_mode"] = "1"
        for picture, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=pixels)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def pictures(masks: list[np.ndarray]) -> list[np.ndarray]:
    """Red pictures that get greener, with these masks as alpha."""
    made = []
    for number, mask in enumerate(masks):
        picture = np.full((H, W, 4), (180, 20 * number, 40, 0), np.uint8)
        picture[..., 3] = np.where(mask, 255, 0)
        made.append(picture)
    return made


def rate(count: int) -> list[int]:
    return [40 * number for number in range(count)]


def frames_of(source: FrameSource) -> list[Frame]:
    return [event for event in source.events() if isinstance(event, Frame)]


@pytest.mark.parametrize("name", ALPHA)
def test_alpha_is_the_mask_in_every_container(tmp_path: Path, name: str) -> None:
    """Through what ``run`` makes of a clip; lossless codecs to the bit."""
    *way, edge = ALPHA[name]
    path = film(tmp_path / name, pictures([square(n) for n in range(FRAMES)]), tuple(way), rate(FRAMES))  # type: ignore[arg-type]
    source = open_frames(path)
    assert source.masked and source.count == FRAMES
    (part,) = ClipWindows(source, StreamConfig(foreground="grabcut"), 16)
    assert (np.diff(part.window.stamps_ns) == 40_000_000).all()
    for number in range(FRAMES):
        assert (part.window.masks[number] != square(number)).sum() <= edge, number
        inside = part.window.images[number][square(number)].astype(int)
        assert np.abs(np.median(inside, axis=0) - (180, 20 * number, 40)).max() <= 6
    assert not source.notes


def test_alpha_of_a_mask_video_is_the_mask(tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", pictures([square(0)] * 3), ("mpeg4", "yuv420p", {}), rate(3))
    assert not open_frames(clip).masked
    way = ("libvpx-vp9", "yuva420p", {"lossless": "1"})
    masks = film(tmp_path / "masks.webm", pictures([square(n) for n in range(3)]), way, rate(3))
    (part,) = ClipWindows(open_frames(clip, ClipOptions(masks=masks)), StreamConfig(), 16)
    np.testing.assert_array_equal(part.window.masks, [square(n) for n in range(3)])


def test_alpha_that_is_all_opaque_says_nothing(tmp_path: Path) -> None:
    opaque = np.ones((H, W), bool)
    source = open_frames(film(tmp_path / "a.mov", pictures([opaque] * 3), ("png", "rgba", {}), rate(3)))
    assert not source.masked and all(frame.mask is None for frame in frames_of(source))


def test_frames_without_the_alpha_of_the_first_are_named(tmp_path: Path) -> None:
    opaque = np.ones((H, W), bool)
    for masks, said in (
        ([square(0), square(1), opaque], "frame 2 of .*a.mov has no mask in its alpha channel, but .* have one"),
        ([opaque, square(1)], "frame 1 of .*a.mov has a mask in its alpha channel, but .* lack one"),
    ):
        path = film(tmp_path / "a.mov", pictures(masks), ("png", "rgba", {}), rate(len(masks)))
        with pytest.raises(MaskError, match=said):
            list(open_frames(path).events())


def test_a_frame_that_is_all_transparent_has_no_object(tmp_path: Path) -> None:
    """It is left out and counted, like an empty mask from anywhere."""
    masks = [square(0), np.zeros((H, W), bool), square(2)]
    source = open_frames(film(tmp_path / "a.mov", pictures(masks), ("png", "rgba", {}), rate(3)))
    windows = ClipWindows(source, StreamConfig(), 16)
    (part,) = windows
    np.testing.assert_array_equal(part.window.masks, [square(0), square(2)])
    assert [note.code for note in windows.notes if note.text.startswith("1 of 3 images were left out")] == [
        "mask_empty"
    ]


def test_the_containers_own_times_are_the_stamps(tmp_path: Path) -> None:
    """A pause of two seconds, and a rate that varies."""
    times = [0, 33, 100, 2100, 2150]
    path = film(tmp_path / "a.mkv", pictures([square(0)] * 5), ("ffv1", "bgr0", {}), times)
    assert [frame.stamp_ns for frame in frames_of(open_frames(path))] == [time * 10**6 for time in times]
    given = frames_of(open_frames(path, ClipOptions(fps=10.0)))
    assert [frame.stamp_ns for frame in given] == [100_000_000 * number for number in range(5)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_rotation_of_a_phone_is_honoured(tmp_path: Path, turn: int) -> None:
    """The display matrix of the track says it; OpenCV is the second opinion."""
    corners = np.zeros((H, W, 4), np.uint8)
    corners[:20, :20, 0] = corners[:20, 44:, 1] = corners[28:, :20, 2] = 255
    path = film(tmp_path / "a.mp4", [corners] * 2, ("mpeg4", "yuv420p", {"qscale": "2"}), rate(2))
    data = bytearray(path.read_bytes())
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    # Behind version, flags, times, id, duration, layer and volume: [[a, b, u], [c, d, v], ...] in 16.16.
    matrix = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 1, 3, 4), (cosine, sine, -sine, cosine), strict=True):
        struct.pack_into(">i", data, matrix + 4 * place, value << 16)
    path.write_bytes(data)
    found = frames_of(open_frames(path))[0].image
    wanted = np.rot90(corners[..., :3], -turn // 90)
    assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).mean() < 12
    second = cv2.VideoCapture(str(path)).read()[1]
    np.testing.assert_allclose(found, second[..., ::-1], atol=2)


def test_what_a_damaged_video_lacks_is_said(tmp_path: Path) -> None:
    count = 40
    whole = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(whole), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (W, H))
    for picture in np.random.default_rng(0).integers(0, 255, (count, H, W, 3), dtype=np.uint8):
        writer.write(picture)
    writer.release()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = VideoFile(cut)
    found = len(frames_of(source))
    assert 10 < found < count
    wanted = f"cut.avi: {found} of the {count} frames that the file promises could be decoded"
    assert wanted in [note.text for note in source.notes]


def avi(path: Path, frames: list[bytes], index: bool) -> Path:
    """An AVI file of JPEG pictures at 10 frames a second, written by its format; ``b""`` is an empty frame."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    count, largest = len(frames), max(map(len, frames))
    main = struct.pack("<14I", 100_000, 0, 0, 0x10 * index, count, 0, 1, largest, W, H, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack("<10I4h", 0, 0, 0, 1, 10, 0, count, largest, 0, 0, 0, 0, W, H)
    picture = struct.pack("<IiiHH4sIiiII", 40, W, H, 1, 24, b"MJPG", 3 * W * H, 0, 0, 0, 0)
    head = b"hdrl" + chunk(b"avih", main)
    head += chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", picture))
    body, entries = b"movi", b""
    for data in frames:
        entries += b"00dc" + struct.pack("<3I", 0x10, len(body), len(data))
        body += chunk(b"00dc", data)
    parts = chunk(b"LIST", head) + chunk(b"LIST", body) + (chunk(b"idx1", entries) if index else b"")
    path.write_bytes(chunk(b"RIFF", b"AVI " + parts))
    return path


@pytest.mark.parametrize("index", [True, False], ids=["index", "no index"])
def test_empty_frames_of_avi_leave_the_others_times_and_masks_alone(tmp_path: Path, index: bool) -> None:
    """Recorders write no bytes for a frame that is as the one before; masks are given for the pictures there are."""
    places = [0, 1, 4, 5, 9]
    (tmp_path / "masks").mkdir()
    frames = [b""] * 10
    for number, place in enumerate(places):
        frames[place] = cv2.imencode(".jpg", np.full((H, W, 3), 10 + 20 * place, np.uint8))[1].tobytes()
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), 255 * square(place).astype(np.uint8))
    source = open_frames(avi(tmp_path / "a.avi", frames, index), ClipOptions(masks=tmp_path / "masks"))
    assert source.count == 5
    (part,) = ClipWindows(source, StreamConfig(), 16)
    assert part.window.stamps_ns.tolist() == [place * 100_000_000 for place in places]
    for number, place in enumerate(places):
        assert abs(int(part.window.images[number].mean()) - (10 + 20 * place)) <= 2
        np.testing.assert_array_equal(part.window.masks[number], square(place))
    said = [note.text for note in source.notes]
    assert said == ["a.avi: 5 frames are empty (the picture before stands): they are left out"]


def test_a_damaged_frame_is_left_out_and_said(tmp_path: Path) -> None:
    """A checksum that is wrong, in a codec whose frames stand alone."""
    path = film(tmp_path / "a.mov", pictures([square(n) for n in range(5)]), ("png", "rgba", {}), rate(5))
    data = bytearray(path.read_bytes())
    starts = [place for place in range(len(data)) if data[place : place + 4] == b"\x89PNG"]
    assert len(starts) == 5
    data[starts[2] + 12] ^= 255
    path.write_bytes(data)
    source = open_frames(path)
    found = frames_of(source)
    assert [frame.stamp_ns // 40_000_000 for frame in found] == [0, 1, 3, 4]
    assert "a.mov is damaged: 1 of its packets could not be decoded" in [note.text for note in source.notes]


def test_pictures_of_vp8_that_are_never_shown_do_not_count(tmp_path: Path) -> None:
    """Encoders that look ahead store pictures that others refer to; WebM does not say how many frames it holds."""
    way = ("libvpx", "yuv420p", {"auto-alt-ref": "0"})
    path = film(tmp_path / "a.webm", pictures([square(n) for n in range(5)]), way, rate(5))
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert len(packets) == open_frames(path).count == 5
    data = bytearray(path.read_bytes())
    data[data.index(packets[2])] &= ~0x10 & 0xFF  # the third one is now hidden
    path.write_bytes(data)
    source = open_frames(path)
    assert source.count == len(frames_of(source)) == 4


def test_alpha_that_this_ffmpeg_cannot_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = ("libvpx-vp9", "yuva420p", {"lossless": "1"})
    path = film(tmp_path / "a.webm", pictures([square(0)] * 2), way, rate(2))
    monkeypatch.setitem(videos._ALPHA_DECODERS, "vp9", "no-such-decoder")
    source = open_frames(path)
    assert not source.masked and len(frames_of(source)) == 2
    assert [note.code for note in source.notes] == ["alpha_unread"] and "no-such-decoder" in source.notes[0].text


def test_a_file_without_pictures_and_one_that_calls_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.ts").write_bytes(b"")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for name, said in (("sound.mp4", "it holds no pictures"), ("list.mp4", "")):
        with pytest.raises(FileFormatError, match=rf"{name} cannot be opened as a video: convert it.*{said}"):
            open_frames(tmp_path / name)


def test_numbered_images_are_named_as_a_video_is(tmp_path: Path) -> None:
    """Their alpha is the mask; other images of the folder are left out."""
    for number in (2, 10, 1):
        picture = pictures([square(number)])[0]
        cv2.imwrite(str(tmp_path / f"f_{number:03d}.png"), picture[..., [2, 1, 0, 3]])
    cv2.imwrite(str(tmp_path / "other.png"), np.zeros((9, 9, 3), np.uint8))
    for pattern in ("f_%03d.png", "f_%d.png"):
        frames = frames_of(open_frames(tmp_path / pattern))
        for frame, number in zip(frames, (1, 2, 10), strict=True):
            np.testing.assert_array_equal(frame.mask, square(number))
    with pytest.raises(FileFormatError, match=r"f_001.png is one image: give its folder, or .* such as f_%03d.png"):
        open_frames(tmp_path / "f_001.png")
    with pytest.raises(FileFormatError, match=r"holds no images with names like g_%d.png"):
        open_frames(tmp_path / "g_%d.png")
    with pytest.raises(FileFormatError, match="does not exist"):
        open_frames(tmp_path / "none" / "f_%d.png")
