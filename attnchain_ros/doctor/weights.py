"""The weights, as ``attnchain weights check`` sees them, in one line."""

from __future__ import annotations

from pathlib import Path

from ..errors import FileFormatError
from .findings import Finding, State


def look_at_weights(folder: Path | None, device: str = "auto", dtype: str = "auto") -> Finding:
    """Whether a checkpoint can be loaded and has room; sizes and headers are compared, not every byte.

    Args:
        folder: of the checkpoint; None = the package's small one.
        device, dtype: to compute with.
    """
    from ..backbone import default_weights
    from ..published.checking import CheckOptions, check
    from ..published.manifest import read_manifest

    place = default_weights() if folder is None else folder
    options = CheckOptions(hashed=False, device=device, dtype=dtype)
    try:
        reports = check(place, read_manifest(None), options)
    except FileFormatError as error:
        return Finding("weights", State.FAIL, str(error), "attnchain weights fetch brings the published ones")
    report = next((report for report in reports if report.would_run), reports[0])
    if not report.would_run:
        whole = report.lines()
        advice = f"attnchain weights check {place} tells file by file what is there"
        return Finding("weights", State.FAIL, f"{place}: {whole[-1].strip()}", advice, tuple(map(str.strip, whole[1:])))
    *_, memory, runs = report.lines()
    name = "the package's small checkpoint" if folder is None else str(report.folder)
    text = f"{name}, {report.precision}; {memory.strip()}; {runs.strip()}"
    slow = report.networks is not None and report.networks.slow
    return Finding("weights", State.WARN if slow else State.OK, text, "use a GPU" if slow else "")
