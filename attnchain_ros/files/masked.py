"""Masks from a folder or a video of their own, for any clip: the n-th mask belongs to the n-th image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import FileFormatError, MaskError
from ..stream.decode import JPEG_MASKS, threshold_mask
from ..stream.frame import Event, Frame, IdImage, MaskImage, NoMoreMasks
from ..stream.objects import ALL_OBJECTS
from ..stream.source import FrameSource, WrappedSource
from .images import IMAGE_ENDINGS, jpeg_file, natural_key, read_ids, read_mask
from .videos import VideoFile


class MaskedSource(WrappedSource):
    """A clip with masks from elsewhere; its own masks are put aside.

    Args:
        source: the clip.
        masks: folder of as many masks as the clip has images, in natural order, or a mask video of as many frames: its
            alpha channel, unless that is all opaque, else what is bright.
        instance: as for ``read_mask``; a video holds no ids.
    Raises:
        MaskError: there are no masks, or not as many as images.   FileFormatError: the video cannot be opened.
    """

    def __init__(self, source: FrameSource, masks: Path, instance: int = 0) -> None:
        super().__init__(source)
        self.masked = True
        self._place, self._instance = masks, instance
        self._files: list[Path] = []
        self._video: VideoFile | None = None
        if masks.is_dir():
            found = (item for item in masks.iterdir() if item.suffix.lower() in IMAGE_ENDINGS)
            self._files = sorted(found, key=lambda item: natural_key(item.name))
            if not self._files:
                raise MaskError(f"the mask folder {masks} holds no images: wanted {', '.join(IMAGE_ENDINGS)}")
            self._check(len(self._files), source.count)
            if any(map(jpeg_file, self._files)):
                self.notes.tell("mask_jpeg", JPEG_MASKS)
        elif masks.is_file():
            if instance:
                raise FileFormatError(f"{masks} is a video, which blurs ids: give the masks as a folder of PNG files")
            self._video = VideoFile(masks)
        else:
            raise MaskError(f"the masks {masks} do not exist: wanted a folder of masks, or a mask video")

    def events(self) -> Iterator[Event]:
        """The clip's, each image with its mask.

        Raises:
            MaskError: there are fewer or more masks than images, or one is of another size than its image.
        """
        yield NoMoreMasks()
        masks, number = self._masks(), 0
        for event in self.wrapped.events():
            if isinstance(event, Frame):
                mask = next(masks, None)
                if mask is None:
                    raise MaskError(
                        f"{self._place} holds {number} masks, {self.name} has more images: give one for each"
                    )
                if mask.shape != event.image.shape[:2]:
                    raise MaskError(
                        f"mask {number} of {self._place} is {mask.shape[1]}x{mask.shape[0]}, its image is "
                        f"{event.image.shape[1]}x{event.image.shape[0]}: give masks of the image's size"
                    )
                if self._instance == ALL_OBJECTS:
                    yield IdImage(mask, event.stamp_ns)
                    yield replace(event, mask=None)
                else:
                    yield replace(event, mask=mask)
                number += 1
            elif not isinstance(event, (MaskImage, IdImage, NoMoreMasks)):
                yield event
        if next(masks, None) is not None:
            raise MaskError(f"{self._place} holds more masks than {self.name} has images ({number}): give one for each")

    def _masks(self) -> Iterator[np.ndarray]:
        if self._video is None:
            for path in self._files:
                yield read_ids(path) if self._instance == ALL_OBJECTS else read_mask(path, self._instance)
        else:
            for event in self._video.events():
                if isinstance(event, Frame):
                    yield threshold_mask(event.image.max(axis=2)) > 0 if event.mask is None else event.mask

    def _check(self, masks: int, images: int | None) -> None:
        if images is not None and masks != images:
            raise MaskError(f"{self._place} holds {masks} masks, {self.name} has {images} images: give one for each")
