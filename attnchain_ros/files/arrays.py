"""Named arrays from npz files, which are archives of whatever somebody put there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import FileFormatError


def read_arrays(path: Path, needed: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
    """Arrays of an npz file by name; the optional ones only if they are there.

    Raises:
        FileFormatError: cannot be read, an array is missing, or one holds Python objects (which are never loaded,
            because loading them can run any code).
    """
    found: dict[str, np.ndarray] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = set(archive.files)
            missing = [name for name in needed if name not in names]
            if not missing:
                found = {name: archive[name] for name in (*needed, *optional) if name in names}
    # Damaged archives fail in as many ways as there are parts: zip, deflate, the arrays' headers, which are Python.
    except Exception as error:
        raise FileFormatError(f"{path} cannot be read: {_reason(error)}") from error
    if missing:
        raise FileFormatError(f"{path} has no array {' and no '.join(missing)}, only {', '.join(sorted(names))}")
    # What does not begin like an array comes back as bytes.
    strange = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
    if strange:
        raise FileFormatError(f"{path} cannot be read: {', '.join(strange)} is no array")
    return found


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
