"""Where the weights of SAM 2's video model lie."""

from __future__ import annotations

from pathlib import Path

PUBLISHED = "facebook/sam2.1-hiera-tiny"
"""What is fetched: Apache-2.0, the smallest of its family."""
FOLDER = "sam2.1-hiera-tiny"
"""Its folder within a folder of weights."""


def masks_weights(given: str | Path | None, weights: str | Path | None = None) -> Path:
    """The folder of the model.

    Args:
        given: by the user; wins.
        weights: the checkpoint folder in use; the model may lie in it or beside it.
    Returns:
        ``given``, or the first that is there of ``weights``' own and ``./weights``'; the last if none is.
    """
    if given:
        return Path(given)
    near = [Path(weights) / FOLDER, Path(weights).parent / FOLDER] if weights else []
    default = Path("weights") / FOLDER
    return next((folder for folder in near if (folder / "config.json").is_file()), default)
