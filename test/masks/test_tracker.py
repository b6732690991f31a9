"""Masks from a prompt: the same as the model called directly, with memory that stays flat."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from attnchain_ros.errors import AttnChainError, ConfigError, InputError, MaskError, WeightsError
from attnchain_ros.masks import Prompt, Sight, TrackedMask
from attnchain_ros.masks.tracker import MaskTracker, load_tracker

CPU = torch.device("cpu")
MASK = np.zeros((60, 80), bool)
MASK[20:40, 10:30] = True
PROMPTS = {
    "point": Prompt(points=((20.0, 30.0),)),
    "points": Prompt(points=((20.0, 30.0), (25.0, 35.0)), outside=((70.0, 10.0),)),
    "box": Prompt(box=(10.0, 20.0, 20.0, 20.0)),
    "box and point": Prompt(points=((20.0, 30.0),), box=(10.0, 20.0, 20.0, 20.0)),
    "mask": Prompt(mask=MASK),
}


@pytest.fixture(scope="module")
def tracker(sam_folder: Path) -> MaskTracker:
    return load_tracker(sam_folder, CPU, torch.float32)


def directly(tracker: MaskTracker, images: np.ndarray, prompt: Prompt) -> list[tuple[np.ndarray, float]]:
    """Masks and scores of the model's own session, which keeps everything; inputs written out by hand."""
    from transformers import Sam2VideoModel
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    model = tracker.model
    assert isinstance(model, Sam2VideoModel)
    session = Sam2VideoInferenceSession(video_height=60, video_width=80, dtype=torch.float32)
    place = session.obj_id_to_idx(7)
    if prompt.mask is not None:
        scaled = interpolate(torch.tensor(prompt.mask)[None, None].float(), (128, 128), mode="bilinear", antialias=True)
        session.add_mask_inputs(place, 0, (scaled >= 0.5).float())
    else:
        points = [[x * 128 / 80, y * 128 / 60] for x, y in (*prompt.points, *prompt.outside)]
        labels = [1] * len(prompt.points) + [0] * len(prompt.outside)
        if prompt.box is not None:
            x, y, wide, high = prompt.box
            corners = [[x * 128 / 80, y * 128 / 60], [(x + wide) * 128 / 80, (y + high) * 128 / 60]]
            points, labels = corners + points, [2, 3, *labels]
        inputs = {"point_coords": torch.tensor([[points]]), "point_labels": torch.tensor([[labels]], dtype=torch.int32)}
        session.add_point_inputs(place, 0, inputs)
    session.obj_with_new_inputs = [7]
    found = []
    with torch.no_grad():
        for image in images:
            out: Any = model(inference_session=session, frame=tracker.prepare(image))
            logits = interpolate(out.pred_masks, (60, 80), mode="bilinear", align_corners=False)
            found.append(((logits[0, 0] > 0).numpy(), float(out.object_score_logits)))
    assert session.num_frames == len(images)
    return found


def ours(tracker: MaskTracker, images: np.ndarray, prompt: Prompt) -> list[TrackedMask]:
    """The same images through the tracker."""
    return [tracker.follow(image) if number else tracker.start(image, prompt) for number, image in enumerate(images)]


@pytest.mark.parametrize("name", PROMPTS)
def test_masks_are_those_of_the_model_called_directly(tracker: MaskTracker, images: np.ndarray, name: str) -> None:
    found = ours(tracker, images, PROMPTS[name])
    wanted = directly(tracker, images, PROMPTS[name])
    np.testing.assert_allclose([one.score for one in found], [score for _, score in wanted], atol=1e-4)
    for one, (mask, score) in zip(found, wanted, strict=True):
        assert np.array_equal(one.mask, mask if score > 0 else np.zeros_like(mask))
    assert sum(tracker.counts.values()) == len(images)


def test_prompts_make_a_difference(tracker: MaskTracker, images: np.ndarray) -> None:
    scores = [ours(tracker, images[:2], prompt)[1].score for prompt in PROMPTS.values()]
    assert len({round(score, 5) for score in scores}) == len(PROMPTS)


def test_memory_is_flat(tracker: MaskTracker, images: np.ndarray) -> None:
    tracker.start(images[0], PROMPTS["point"])
    sizes = []
    for number in range(60):
        tracker.follow(images[number % 30])
        session = tracker._session
        kept = session.output_dict_per_obj[0]
        parts = kept["non_cond_frame_outputs"], kept["cond_frame_outputs"], session.frames_tracked_per_obj[0]
        sizes.append([len(part) for part in (session.processed_frames, *parts)])
    assert sizes[30] == sizes[-1] and max(sizes[-1]) <= 18


def test_memory_does_not_grow_with_prompts(tracker: MaskTracker, images: np.ndarray) -> None:
    most = 4
    tracker.start(images[0], PROMPTS["mask"])
    for number in range(3 * most):
        tracker.follow(images[number % 30], PROMPTS["point" if number % 2 else "mask"])
        session = tracker._session
        kept = session.output_dict_per_obj[0]["cond_frame_outputs"]
        assert len(kept) == min(number + 2, most) and number + 1 in kept
        assert not session.point_inputs_per_obj[0] and not session.mask_inputs_per_obj[0]


def test_a_new_prompt_takes_effect(tracker: MaskTracker, images: np.ndarray) -> None:
    plain = ours(tracker, images[:6], PROMPTS["point"])
    tracker.start(images[0], PROMPTS["point"])
    again = [tracker.follow(image, PROMPTS["box"] if number == 2 else None) for number, image in enumerate(images[1:6])]
    assert again[1].score == pytest.approx(plain[2].score, abs=1e-5) and again[2].score != plain[3].score


def test_lost_empty_and_back_are_told_and_counted(
    tracker: MaskTracker, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker.start(images[0], PROMPTS["point"])
    tracker._gone, tracker.counts = False, dict.fromkeys(Sight, 0)
    full, none = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    steps = [(full, 1.0), (full, -1.0), (none, 1.0), (full, 1.0), (full, 1.0)]
    told = [tracker._told(mask, score) for mask, score in steps]
    assert [one.sight for one in told] == [Sight.SEEN, Sight.LOST, Sight.EMPTY, Sight.BACK, Sight.SEEN]
    assert [bool(one.mask.any()) for one in told] == [True, False, False, True, True]
    assert tracker.counts == {Sight.SEEN: 2, Sight.LOST: 1, Sight.EMPTY: 1, Sight.BACK: 1}


def test_prompts_that_say_nothing_or_miss_the_image_are_refused(tracker: MaskTracker, images: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="the prompt is empty: give a point"):
        Prompt(outside=((1.0, 1.0),))
    with pytest.raises(ConfigError, match="give it without points and box"):
        Prompt(points=((1.0, 1.0),), mask=MASK)
    with pytest.raises(ConfigError, match="the box is 0 x 5 pixels"):
        Prompt(box=(1.0, 1.0, 0.0, 5.0))
    with pytest.raises(MaskError, match="the first mask is empty"):
        Prompt(mask=np.zeros((60, 80), bool))
    with pytest.raises(ConfigError, match="the point 80,30 is outside the image: x goes to 79, y to 59"):
        tracker.start(images[0], Prompt(points=((80.0, 30.0),)))
    with pytest.raises(ConfigError, match="the box 70,1,20,5 leaves the image of 80 x 60"):
        tracker.start(images[0], Prompt(box=(70.0, 1.0, 20.0, 5.0)))
    with pytest.raises(MaskError, match="the first mask has 4 x 3 pixels, the image 80 x 60"):
        tracker.start(images[0], Prompt(mask=np.ones((3, 4), bool)))


def test_misuse_is_refused(sam_folder: Path, images: np.ndarray) -> None:
    tracker = load_tracker(sam_folder, CPU, torch.float32)
    with pytest.raises(AttnChainError, match="no object is followed yet"):
        tracker.follow(images[0])
    tracker.start(images[0], PROMPTS["point"])
    with pytest.raises(InputError, match="the image has 40 x 60 pixels, the stream 80 x 60: start anew"):
        tracker.follow(images[0][:, :40])


def test_a_folder_without_the_model_is_refused(sam_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"json is missing: 'attnchain weights fetch --masks --to .* brings face"):
        load_tracker(tmp_path, CPU, torch.float32)
    folder = Path(shutil.copytree(sam_folder, tmp_path / "sam"))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(WeightsError, match="holds no readable SAM 2 video model"):
        load_tracker(folder, CPU, torch.float32)
