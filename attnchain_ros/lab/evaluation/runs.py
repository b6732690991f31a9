"""An evaluation run on disk: one line for each finished piece, so that a run that was stopped can go on."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...backbone import Backbone
from ...config import RolloutConfig
from ...errors import ConfigError, FileFormatError
from ...files.atomic import write_bytes
from ..table import failed, from_json, to_json
from .actionbench_config import ActionBenchConfig

if TYPE_CHECKING:
    import pandas as pd

_PROGRESS_FILE = "progress.jsonl"


class RunFile:
    """Finished pieces of a run, in ``progress.jsonl`` of its folder: each a line with its name and its table of scores.

    The first line says what the run is (commit, checkpoint, options); a run goes on only as the same run.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], resume: bool) -> None:
        """Open the file of a run.

        Args:
            folder: of the run, made when needed.
            identity: JSON values that say what the run is.
            resume: keep what is there; otherwise start anew.
        Raises:
            ConfigError: what is there is another run.   FileFormatError: it is damaged, or cannot be written.
        """
        self.path = Path(folder) / _PROGRESS_FILE
        self._pieces: dict[str, pd.DataFrame] = {}
        identity = json.loads(json.dumps(identity))
        lines: list[dict[str, Any]] = []
        if resume and self.path.is_file():
            first, lines = self._read()
            different = sorted(name for name in {*first, *identity} if first.get(name) != identity.get(name))
            if different:
                raise ConfigError(
                    f"{self.path} is of another run: {', '.join(different)} differ; leave out --resume to start anew, "
                    "or give another --out"
                )
        # Written again as a whole: a line that was cut off when the run was stopped must not stay.
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in [identity, *lines])
        write_bytes(self.path, text.encode())

    def finished(self, piece: str) -> pd.DataFrame | None:
        """The table of a piece; None if it is not there or something in it failed, so that it is to be tried again."""
        table = self._pieces.get(piece)
        return None if table is None or len(failed(table)) else table

    def add(self, piece: str, table: pd.DataFrame) -> None:
        """Append a finished piece; it is on disk when this returns."""
        text = json.dumps({"piece": piece, "rows": to_json(table)}, allow_nan=False) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
        self._pieces[piece] = table

    def _read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        try:
            texts = self.path.read_text(encoding="utf-8").split("\n")
            # What follows the last line break was cut off in the middle of writing.
            values = [json.loads(text) for text in texts[:-1]]
            self._pieces = {line["piece"]: from_json(line["rows"]) for line in values[1:]}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileFormatError(f"{self.path} is damaged: {error}; leave out --resume to start anew") from error
        if not values or not isinstance(values[0], dict):
            raise FileFormatError(f"{self.path} is empty: leave out --resume to start anew")
        return values[0], values[1:]


def run_identity(
    backbone: Backbone, config: RolloutConfig, counts: ActionBenchConfig, settings: Sequence[str]
) -> dict[str, Any]:
    """What a run is: two runs of one identity, on the same clips, give the same figures, up to times.

    Args:
        backbone, config: of the rollout.   counts: points and steps of the Chamfer figures.
        settings: what the user changed, as "option=value".
    """
    return {
        "attnchain_ros": __version__,
        "commit": code_version(),
        "checkpoint": backbone.name,
        "checksum": backbone.checksum,
        "device": f"{backbone.device}, {str(backbone.dtype).removeprefix('torch.')}",
        "chamfer counts": counts.describe(),
        "seed": config.sampling.seed,
        "changed options": ", ".join(settings) or "none",
        "config": dataclasses.asdict(config),
    }


def code_version() -> str:
    """The commit that last changed the package, with "+" if files were changed since; its version without git.

    What is not code, such as a report or a checkpoint's card with this very run's figures, makes no other version.
    """
    where = Path(__file__).resolve().parent
    code = ("../..", ":(exclude)../../*.md")
    commit = _git(where, "log", "-1", "--format=%h", "--abbrev=12", "--", *code)
    # A copy installed below somebody else's repository is not that repository's code.
    if not commit or _git(where, "ls-files", "--error-unmatch", "runs.py") is None:
        return __version__
    changed = _git(where, "status", "--porcelain", "--untracked-files=no", "--", *code)
    return commit + ("+" if changed else "")


def _git(where: Path, *words: str) -> str | None:
    """What a git command says, None where it fails or there is no git."""
    try:
        done = subprocess.run(["git", *words], cwd=where, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
