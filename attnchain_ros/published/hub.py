"""One file from the Hugging Face hub, resumed where an earlier try stopped; every way to fail is one sentence."""

from __future__ import annotations

import errno
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FetchError
from .manifest import PublishedFile, in_gigabytes

_NETWORK_LIBRARIES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"})
"""What hub clients of different ages use below; their errors mean that the network failed."""


@dataclass(frozen=True)
class Hub:
    """Where files are fetched from.

    Attributes:
        endpoint: address of the hub; None is that of the environment (``HF_ENDPOINT``), else the public one. The
            token, too, is what the hub's own tools use: ``HF_TOKEN``, or that of a login.
    """

    endpoint: str | None = None

    def download(self, file: PublishedFile, part: Path) -> None:
        """Bring a file's bytes into ``part``, which is appended to if something is there already.

        Args:
            file: what to fetch.
            part: the unfinished file; it stays after a failure of the network, so that the next try goes on there.
        Raises:
            FetchError: no network, no permission, no such file, a full disk, or the hub holds another file.
        """
        library = _library()
        try:
            url, headers = self._look(library, file)
            have = part.stat().st_size if part.exists() else 0
            with part.open("ab") as out:
                library.http_get(
                    url,
                    out,
                    resume_size=have,
                    headers=headers,
                    expected_size=file.size,
                    displayed_filename=file.path,
                )
        except FetchError:
            raise
        except Exception as error:
            reason = self._reason(library, file, error, part)
            if reason is None:
                raise
            raise FetchError(reason) from error

    def page(self, repo: str) -> str:
        """Address of a repository's page."""
        endpoint = self.endpoint or importlib.import_module("huggingface_hub.constants").ENDPOINT
        return f"{endpoint.rstrip('/')}/{repo}"

    def _look(self, library: Any, file: PublishedFile) -> tuple[str, dict[str, str]]:
        """The file's address and what to send along, after asking whether it is there and the one that is wanted."""
        url = library.hf_hub_url(file.repo, file.file, revision=file.revision, endpoint=self.endpoint)
        found = library.get_hf_file_metadata(url, token=None, endpoint=self.endpoint)
        if found.commit_hash is None:
            raise FetchError(
                f"{self.page(file.repo)} does not answer as a Hugging Face hub does: is HF_ENDPOINT right, or does a "
                "proxy answer in its place?"
            )
        # Of large files the hub names the SHA-256, so that gigabytes of another file are not fetched first.
        promised = found.etag if found.etag is not None and len(found.etag) == 64 else file.sha256
        if promised != file.sha256 or (found.size or file.size) != file.size:
            raise FetchError(
                f"the hub's {file.repo}/{file.file} at revision {file.revision[:12]} is not the file that is wanted "
                f"({in_gigabytes(found.size or 0)}, SHA-256 {promised[:12]}...; wanted {in_gigabytes(file.size)}, "
                f"{file.sha256[:12]}...): it was not fetched; if you use a mirror, try without"
            )
        # As it is: a compressed answer could not be resumed.
        return url, {**library.build_hf_headers(), "Accept-Encoding": "identity"}

    def _reason(self, library: Any, file: PublishedFile, error: Exception, part: Path) -> str | None:
        """What went wrong in one sentence; None where it is a mistake of ours."""
        errors = importlib.import_module("huggingface_hub.errors")
        name = f"{file.repo}/{file.file}"
        if isinstance(error, errors.GatedRepoError):
            return (
                f"{file.repo} is gated: accept its terms on {self.page(file.repo)}, make a token there, and give it as "
                "HF_TOKEN (or log in with 'hf auth login'), then call this again"
            )
        if isinstance(error, (errors.EntryNotFoundError, errors.RevisionNotFoundError)):
            return f"the hub has no {name} at revision {file.revision[:12]}: if you use a mirror, try without"
        if isinstance(error, errors.RepositoryNotFoundError):
            return (
                f"the hub shows no repository {file.repo}: if it asks for a login, give a token as HF_TOKEN; "
                "a wrong or expired token has the same effect"
            )
        if isinstance(error, errors.OfflineModeIsEnabled):
            return f"{name} cannot be fetched: HF_HUB_OFFLINE is set; unset it"
        if isinstance(error, errors.HfHubHTTPError):
            status = getattr(error.response, "status_code", "an error")
            return f"the hub answered {status} for {name}{_kept(part)}"
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink(missing_ok=True)
            return (
                f"the disk became full while {file.path} was fetched; its unfinished part was removed: make room for "
                f"{in_gigabytes(file.size)} below {part.parent.parent} and call this again"
            )
        if isinstance(error, OSError) and error.errno is not None:
            return f"{error.filename or part}: {error.strerror}"
        if isinstance(error, OSError) and "Consistency check" in str(error):
            return f"the hub sent {file.path} in another length than {file.size} bytes{_kept(part)}"
        if type(error).__module__.partition(".")[0] in _NETWORK_LIBRARIES or isinstance(error, ConnectionError):
            return f"no connection to {self.page(file.repo)} ({error}){_kept(part)}: is the network there?"
        return None


def _kept(part: Path) -> str:
    """What a later try finds."""
    size = part.stat().st_size if part.exists() else 0
    return f"; {in_gigabytes(size)} are kept, and the next call goes on there" if size else ""


def _library() -> Any:
    """The hub's client; only when something is fetched, since it takes long to import.

    Raises:
        FetchError: it is not installed.
    """
    try:
        client = importlib.import_module("huggingface_hub.file_download")
        # Of what it says by itself only the progress bars are for the user.
        importlib.import_module("huggingface_hub.utils.logging").set_verbosity_error()
    except ImportError as error:
        raise FetchError(f"fetching needs the package huggingface-hub: {error}") from error
    return client
