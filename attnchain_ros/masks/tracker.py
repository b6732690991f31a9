"""SAM 2's video model, image by image: a streaming session whose memory does not grow."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from safetensors import SafetensorError
from torch import Tensor

from ..errors import AttnChainError, InputError, WeightsError
from .places import PUBLISHED
from .prompt import Prompt
from .sight import Sight, TrackedMask

_OBJECT = 1
_PROMPTED = 4
"""Prompted images that are kept where the model's config sets no limit."""
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures that the image encoder was trained on, as its processor has them."""


class MaskTracker:
    """Follows one object through a stream (``start``, ``follow``), or several by their ids (``track``, ``drop``).

    The model remembers the newest of all images, and the newest prompted ones (four, where its config sets no limit of
    its own); older ones are let go of, so that memory is flat however long the stream is and however often one points.

    Attributes:
        counts: images by ``Sight`` since ``forget``; of several objects each counts.
    """

    def __init__(self, model: Any) -> None:
        """``model``: a ``Sam2VideoModel`` of transformers, on its device and in its precision."""
        self.model = model
        self.counts = dict.fromkeys(Sight, 0)
        config = model.config
        self._side = int(config.image_size if isinstance(config.image_size, int) else config.image_size[0])
        self._remembered = max(int(config.num_maskmem), int(config.max_object_pointers_in_encoder))
        # Without a limit memory would grow with every prompt.
        self._prompted = config.max_cond_frame_num if config.max_cond_frame_num > 0 else _PROMPTED
        self._session: Any = None
        self._number = 0
        self._gone: set[int] = set()
        self._shape = (0, 0)

    def start(self, image: np.ndarray, prompt: Prompt) -> TrackedMask:
        """Begin with an image in which the object is pointed at; what was followed before is forgotten.

        Args:
            image: [H, W, 3] uint8 RGB.
            prompt: in its pixels.
        Raises:
            ConfigError, MaskError: the prompt does not fit the image.
        """
        self.forget()
        return self.track(image, {_OBJECT: prompt})[_OBJECT]

    def follow(self, image: np.ndarray, prompt: Prompt | None = None) -> TrackedMask:
        """The object in the next image.

        Args:
            image: [H, W, 3] uint8 RGB, of the same size as the first.
            prompt: points at the object anew, for a correction or after it was lost.
        Raises:
            AttnChainError: nothing was started.   InputError: another size.
            ConfigError, MaskError: the prompt does not fit the image.
        """
        return self.track(image, {} if prompt is None else {_OBJECT: prompt})[_OBJECT]

    @property
    def ids(self) -> tuple[int, ...]:
        """Who is followed, in the order of the first prompts."""
        return () if self._session is None else tuple(self._session.obj_ids)

    def forget(self) -> None:
        """Follow nobody; the next image may be of another size."""
        self._session, self._number = None, 0
        self._gone.clear()
        self.counts = dict.fromkeys(Sight, 0)

    def track(self, image: np.ndarray, prompts: Mapping[int, Prompt] = MappingProxyType({})) -> dict[int, TrackedMask]:
        """All objects in the next image; the image encoder runs once. A pixel belongs to the surest object.

        Args:
            image: [H, W, 3] uint8 RGB, of the same size as the first.
            prompts: by id: who is new in this image, or pointed at anew.
        Raises:
            AttnChainError: nobody is followed and nothing is pointed at.   InputError: another size.
            ConfigError, MaskError: a prompt does not fit the image.
        """
        height, width = image.shape[:2]
        if self._session is None and not prompts:
            raise AttnChainError("no object is followed yet: call start with a prompt first")
        if self._session is not None and image.shape[:2] != self._shape:
            raise InputError(
                f"the image has {width} x {height} pixels, the stream {self._shape[1]} x {self._shape[0]}: start anew"
            )
        for prompt in prompts.values():
            prompt.check_inside(height, width)
        if self._session is None:
            self._shape = height, width
            self._session = self._new_session()
        known = self.ids
        try:
            return self._next(image, prompts)
        except Exception:
            self._undo([one for one in self.ids if one not in known])
            raise

    def drop(self, ids: Collection[int]) -> None:
        """Follow these no longer; the others as if nothing had been."""
        kept = [one for one in self.ids if one not in ids]
        if len(kept) == len(self.ids):
            return
        self._gone.difference_update(ids)
        if not kept:
            self._session, self._number = None, 0
            return
        # A session of transformers knows no way out for an object: what is kept moves into a new one.
        old, self._session = self._session, self._new_session()
        self._session.processed_frames = {}
        for one in kept:
            before, now = old.obj_id_to_idx(one), self._session.obj_id_to_idx(one)
            for name in (
                "point_inputs_per_obj",
                "mask_inputs_per_obj",
                "output_dict_per_obj",
                "frames_tracked_per_obj",
            ):
                getattr(self._session, name)[now] = getattr(old, name)[before]

    def _new_session(self) -> Any:
        sessions = importlib.import_module("transformers.models.sam2_video.modeling_sam2_video")
        device = self.model.device
        return sessions.Sam2VideoInferenceSession(
            video_height=self._shape[0],
            video_width=self._shape[1],
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=self.model.dtype,
        )

    @torch.no_grad()
    def _next(self, image: np.ndarray, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        session, number = self._session, self._number
        for one, prompt in prompts.items():
            self._give(one, prompt)
        self._number += 1  # whatever happens: what is half done under a number must not be taken for another image's
        session.obj_with_new_inputs = list(prompts)
        found = self.model(inference_session=session, frame=self.prepare(image), frame_idx=number)
        self._forget(number)
        logits = functional.interpolate(found.pred_masks.float(), self._shape, mode="bilinear", align_corners=False)
        scores = found.object_score_logits.reshape(-1).float()
        shown = logits[:, 0].masked_fill((scores <= 0)[:, None, None], -torch.inf)
        surest = torch.arange(len(shown), device=shown.device)[:, None, None] == shown.argmax(dim=0)
        masks = ((shown > 0) & surest).cpu().numpy()
        return {
            one: self._told(one, mask, score)
            for one, mask, score in zip(session.obj_ids, masks, scores.tolist(), strict=True)
        }

    def _told(self, one: int, mask: np.ndarray, score: float) -> TrackedMask:
        if score <= 0:
            mask, sight = np.zeros_like(mask), Sight.LOST
        elif not mask.any():
            sight = Sight.EMPTY
        else:
            sight = Sight.BACK if one in self._gone else Sight.SEEN
        (self._gone.add if sight.gone else self._gone.discard)(one)
        self.counts[sight] += 1
        return TrackedMask(mask, sight, score)

    def prepare(self, image: np.ndarray) -> Tensor:
        """An image [H, W, 3] uint8 RGB as the model takes it: [1, 3, S, S], stretched to a square and normalised."""
        device = self.model.device
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device).permute(2, 0, 1)[None].float()
        size = (self._side, self._side)
        pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        pixels = pixels.round().clamp(0, 255) / 255.0
        mean, deviation = (torch.tensor(numbers, device=device).view(1, 3, 1, 1) for numbers in (_MEAN, _DEVIATION))
        prepared: Tensor = ((pixels - mean) / deviation).to(self.model.dtype)
        return prepared

    def _give(self, one: int, prompt: Prompt) -> None:
        """Put a prompt for the next image into the session, as the model's own processor does."""
        session, number = self._session, self._number
        place = session.obj_id_to_idx(one)
        if prompt.mask is not None:
            mask = torch.from_numpy(prompt.mask)[None, None].float()
            size = (self._side, self._side)
            mask = functional.interpolate(mask, size, mode="bilinear", align_corners=False, antialias=True)
            session.add_mask_inputs(place, number, (mask >= 0.5).float())
            session.remove_point_inputs(place, number)
        else:
            points, labels = prompt.coordinates()
            height, width = self._shape
            scaled = torch.from_numpy(points) * torch.tensor([self._side / width, self._side / height])
            inputs = {"point_coords": scaled[None, None], "point_labels": torch.from_numpy(labels)[None, None]}
            session.add_point_inputs(place, number, inputs)
            session.remove_mask_inputs(place, number)

    def _undo(self, begun: list[int]) -> None:
        """An image failed, for instance for lack of memory: what it left half done would spoil all after it."""
        session, number = self._session, self._number - 1
        for kept in session.output_dict_per_obj.values():
            for outputs in kept.values():
                outputs.pop(number, None)
        for tracked in session.frames_tracked_per_obj.values():
            tracked.pop(number, None)
        self.drop(begun)

    def _forget(self, number: int) -> None:
        """Let go of what the model will not look at again."""
        session = self._session
        session.processed_frames.clear()
        oldest = number - self._remembered
        outputs = list(session.output_dict_per_obj.values())
        old = [kept["non_cond_frame_outputs"] for kept in outputs] + list(session.frames_tracked_per_obj.values())
        for kept in old:
            for frame in [frame for frame in kept if frame < oldest]:
                del kept[frame]
        for kept in outputs:
            prompted = kept["cond_frame_outputs"]
            for frame in sorted(prompted)[: -self._prompted]:
                del prompted[frame]
        for given in (*session.point_inputs_per_obj.values(), *session.mask_inputs_per_obj.values()):
            given.clear()  # read with their own image alone


def load_tracker(folder: Path, device: torch.device, dtype: torch.dtype) -> MaskTracker:
    """SAM 2's video model from a folder (``config.json``, ``model.safetensors``); nothing is fetched.

    Raises:
        WeightsError: transformers is not installed, or the folder holds no such model.
    """
    try:
        # Large, slow to import, and needed for this alone.
        transformers = importlib.import_module("transformers")
        kind = transformers.Sam2VideoModel
    except (ImportError, AttributeError) as error:
        raise WeightsError(
            f"masks from a click need the extra: pip install 'attnchain_ros[masks]' ({error})"
        ) from error
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder / name} is missing: 'attnchain weights fetch --masks --to {folder.parent}' brings "
                f"{PUBLISHED}, or name the folder that holds a SAM 2 video model"
            )
    try:
        with _without_bars():
            model, told = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise WeightsError(f"{folder} holds no readable SAM 2 video model: {error}") from error
    if told["missing_keys"]:
        missing = sorted(told["missing_keys"])
        text = f"{len(missing)} tensors are missing, such as {missing[0]}"
        raise WeightsError(f"{folder} holds no SAM 2 video model: {text}")
    return MaskTracker(model.to(device).eval().requires_grad_(False))


@contextmanager
def _without_bars() -> Iterator[None]:
    """The progress bars of transformers are not for our users: loading takes a moment, and a node has a log."""
    bars = importlib.import_module("transformers.utils.logging")
    were = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if were:
            bars.enable_progress_bar()
