"""Masks from a prompt: the same as the model called directly, with memory that stays flat."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from attnchain_ros.errors import AttnChainError, ConfigError, InputError, MaskError, WeightsError
from attnchain_ros.masks import Prompt, Sight, TrackedMask, read_prompts
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
    tracker._gone, tracker.counts = set(), dict.fromkeys(Sight, 0)
    full, none = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    steps = [(full, 1.0), (full, -1.0), (none, 1.0), (full, 1.0), (full, 1.0)]
    told = [tracker._told(1, mask, score) for mask, score in steps]
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


def test_several_objects_are_those_of_one_session_of_the_model(tracker: MaskTracker, images: np.ndarray) -> None:
    """One is there from the first image, one comes, is corrected, and stays when the other is let go of."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    steps = {0: {4: (20.0, 30.0)}, 3: {9: (70.0, 10.0)}, 6: {9: (65.0, 12.0)}}
    session = Sam2VideoInferenceSession(video_height=60, video_width=80, dtype=torch.float32)
    tracker.forget()
    seen: set[tuple[bool, ...]] = set()
    for number, image in enumerate(images[:12]):  # a little after an object is let go of: roundings add up
        given = steps.get(number, {})
        for one, (x, y) in given.items():
            inputs = {
                "point_coords": torch.tensor([[[[x * 128 / 80, y * 128 / 60]]]]),
                "point_labels": torch.tensor([[[1]]], dtype=torch.int32),
            }
            session.add_point_inputs(session.obj_id_to_idx(one), number, inputs)
        session.obj_with_new_inputs = list(given)
        with torch.no_grad():
            out: Any = tracker.model(inference_session=session, frame=tracker.prepare(image))
        if number == 10:
            tracker.drop([4])
        found = tracker.track(image, {one: Prompt(points=(place,)) for one, place in given.items()})
        assert tuple(found) == tracker.ids == ((4,) if number < 3 else (4, 9) if number < 10 else (9,))
        scores = dict(zip(out.object_ids, out.object_score_logits.reshape(-1).tolist(), strict=True))
        logits = interpolate(out.pred_masks, (60, 80), mode="bilinear", align_corners=False)[:, 0]
        there = {one: logits[row].numpy() for row, one in enumerate(out.object_ids) if one in found and scores[one] > 0}
        for one, each in found.items():
            assert each.score == pytest.approx(scores[one], abs=1e-4)
            wanted = np.zeros((60, 80), bool)
            if one in there:
                wanted = (there[one] > 0) & (there[one] >= np.max(list(there.values()), axis=0))
            assert np.mean(each.mask != wanted) < 1e-3
        seen.add(tuple(one in there for one in found))
    assert (True, True) in seen, "both at once"
    tracker.drop([9])
    assert tracker.ids == ()
    with pytest.raises(AttnChainError, match="no object is followed"):
        tracker.track(images[0])


def test_a_pixel_belongs_to_the_surest_object(
    tracker: MaskTracker, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker.forget()
    tracker.track(images[0], {1: PROMPTS["point"], 2: PROMPTS["box"], 3: PROMPTS["points"]})
    logits = torch.full((3, 1, 60, 80), -1.0)
    logits[0, 0, :40], logits[1, 0, 20:], logits[2, 0] = 2.0, 3.0, 9.0
    answer = SimpleNamespace(pred_masks=logits, object_score_logits=torch.tensor([[1.0], [1.0], [-1.0]]))
    tracker._gone.clear()
    monkeypatch.setattr(tracker, "model", _Answering(tracker.model, answer))
    found = tracker.track(images[1])
    assert [one.sight for one in found.values()] == [Sight.SEEN, Sight.SEEN, Sight.LOST]
    assert found[1].mask.sum() == 20 * 80 and found[1].mask[:20].all()
    assert found[2].mask.sum() == 40 * 80 and not found[3].mask.any()


class _Answering:
    """A model that says what it is told to."""

    def __init__(self, model: Any, answer: Any) -> None:
        self.device, self.dtype, self._answer = model.device, model.dtype, answer

    def __call__(self, **ignored: Any) -> Any:
        return self._answer


def test_memory_is_flat_with_objects_that_come_and_go(tracker: MaskTracker, images: np.ndarray) -> None:
    tracker.forget()
    tracker.track(images[0], {1: PROMPTS["point"]})
    for number in range(1, 60):
        if number % 10 == 5 and number > 5:
            tracker.drop([number - 10])
        tracker.track(images[number % 30], {number: PROMPTS["box"]} if number % 10 == 5 else {})
        session = tracker._session
        assert len(tracker.ids) == (1 if number < 5 else 2) == len(session.output_dict_per_obj)
        for kept in session.output_dict_per_obj.values():
            assert len(kept["non_cond_frame_outputs"]) <= 18 and len(kept["cond_frame_outputs"]) == 1


@pytest.mark.parametrize("prompted", [1, 2])
def test_an_image_that_fails_spoils_none_after_it(
    tracker: MaskTracker, images: np.ndarray, monkeypatch: pytest.MonkeyPatch, prompted: int
) -> None:
    """Where a new object begins (2), and where one is corrected (1)."""

    def fail(**ignored: Any) -> None:
        raise RuntimeError("CUDA out of memory")

    tracker.forget()
    tracker.track(images[0], {1: PROMPTS["point"]})
    with monkeypatch.context() as broken:
        broken.setattr(tracker.model, "_batch_encode_memories", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            tracker.track(images[1], {prompted: PROMPTS["box"]})
    assert tracker.ids == (1,)
    scores = [tracker.track(image)[1].score for image in images[2:6]]
    again = tracker.track(images[6], {2: PROMPTS["box"]})
    assert tuple(again) == (1, 2) and all(map(np.isfinite, scores))
    # From the first image on, without the one that failed: the same but for its place in time.
    tracker.forget()
    tracker.track(images[0], {1: PROMPTS["point"]})
    tracker._number += 1
    assert [tracker.track(image)[1].score for image in images[2:6]] == pytest.approx(scores, abs=1e-5)


def test_prompts_of_several_objects() -> None:
    found = read_prompts(["5,6", "50,60", "12,12"], ["1,1"], ["2,2,20,20", "10,10,4,4"])
    assert list(found) == [1, 2, 3] and all(one.outside == ((1.0, 1.0),) for one in found.values())
    assert [one.box for one in found.values()] == [(2.0, 2.0, 20.0, 20.0), (10.0, 10.0, 4.0, 4.0), None]
    assert [one.points for one in found.values()] == [((5.0, 6.0),), ((12.0, 12.0),), ((50.0, 60.0),)]
    with pytest.raises(ConfigError, match="no object is pointed at: give --point or --box, one for each"):
        read_prompts([], ["1,1"])
    with pytest.raises(ConfigError, match="--box is '1,2,3', wanted 4 numbers"):
        read_prompts([], [], ["1,2,3"])


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
