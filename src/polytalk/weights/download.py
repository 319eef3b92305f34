"""Fetching published files from the Hugging Face hub: listed first, resumed when cut off, hashed at the end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytalk.errors import PolytalkError
from polytalk.weights.catalogue import Published
from polytalk.weights.synthesize import free_bytes

_BLOCK = 2**22
_CONFIGURATIONS = ["model_index.json", "*config.json"]
"""Files that say what a model is made of; a few kilobytes each."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub describes it now, and where it goes."""

    repository: str
    """owner/name."""
    path: str
    """In the repository."""
    revision: str
    """Branch or pull request."""
    size: int
    """Bytes."""
    sha256: str | None
    """Of a large file."""
    git_sha1: str | None
    """Of a small one, as git counts it (with a header)."""
    folder: Path
    """The repository's folder on this machine."""

    @property
    def target(self) -> Path:
        """Where it lies after the download."""
        return self.folder / self.path

    def damage(self) -> str | None:
        """What is wrong with the file on disk; None when size and hash are right."""
        if not self.target.is_file():
            return "missing"
        found = self.target.stat().st_size
        if found != self.size:
            return f"{found:,} bytes instead of {self.size:,}"
        if self.sha256:
            return None if _digest(self.target, "sha256") == self.sha256 else "its sha256 is not the published one"
        if self.git_sha1 and _digest(self.target, "sha1", b"blob %d\0" % found) != self.git_sha1:
            return "its git hash is not the published one"
        return None


@dataclass(frozen=True)
class DownloadPlan:
    """What a download would do."""

    folder: Path
    """Folder of the repositories' folders."""
    files: tuple[RemoteFile, ...]
    """All that are needed."""
    missing: tuple[RemoteFile, ...]
    """Those that are not there in their full size."""
    endpoint: str | None = None
    """Another hub than huggingface.co."""

    @property
    def missing_bytes(self) -> int:
        """Bytes to fetch; what a cut-off download left behind still counts."""
        return sum(file.size for file in self.missing)

    def check_disk(self) -> None:
        """Refuse a disk that is too small.

        Raises:
            PolytalkError: it is.
        """
        free = free_bytes(self.folder)
        if self.missing_bytes > free:
            problem = f"{self.missing_bytes / 1e9:.1f} GB are to come, {free / 1e9:.1f} GB are free"
            raise PolytalkError(str(self.folder), problem, "Make room, or choose a folder on another disk.")

    def run(self, report: Callable[[RemoteFile, str], None] | None = None) -> None:
        """Fetch what is missing, then check every file's size and hash; a damaged one is fetched anew, once.

        Args:
            report: called with the file and what happens to it: "downloading", "checking", "ok".

        Raises:
            PolytalkError: no connection, a file that is gone from the hub, or one that stays damaged.
        """
        notify = report or (lambda file, what: None)
        self.check_disk()
        for file in self.missing:
            notify(file, "downloading")
            self._fetch(file)
        for file in self.files:
            notify(file, "checking")
            if file.damage() is not None:
                notify(file, "downloading")
                self._fetch(file, anew=True)
            damage = file.damage()
            if damage is not None:
                raise PolytalkError(str(file.target), damage, "Delete it and download it again; check the disk.")
            notify(file, "ok")

    def _fetch(self, file: RemoteFile, anew: bool = False) -> None:
        fetch_file(file.repository, file.path, file.revision, file.folder, self.endpoint, anew)


def plan_download(entries: Sequence[Published], folder: Path, endpoint: str | None = None) -> DownloadPlan:
    """Ask the hub what the files are now, and look at what is there already.

    Raises:
        PolytalkError: no connection, or a file is no longer in its repository.
    """
    from huggingface_hub import HfApi

    endpoint = endpoint or os.environ.get("HF_ENDPOINT")
    api = HfApi(endpoint=endpoint)
    files: list[RemoteFile] = []
    for entry in entries:
        for revision in dict.fromkeys(file.revision for file in entry.files):
            paths = [file.path for file in entry.files if file.revision == revision]
            with hub_errors(entry.repository):
                found: Any = api.get_paths_info(entry.repository, paths, revision=revision)
            described = {info.path: info for info in found}
            gone = [path for path in paths if path not in described]
            if gone:
                remedy = f"See https://huggingface.co/{entry.repository} for what it is called now."
                raise PolytalkError(entry.repository, f"no longer holds {gone[0]}", remedy)
            for path in paths:
                info = described[path]
                sha256 = info.lfs.sha256 if info.lfs else None
                git_sha1 = None if info.lfs else info.blob_id
                place = folder / entry.folder
                files.append(RemoteFile(entry.repository, path, revision, info.size, sha256, git_sha1, place))
    missing = [f for f in files if not f.target.is_file() or f.target.stat().st_size != f.size]
    return DownloadPlan(folder, tuple(files), tuple(missing), endpoint)


def fetch_file(
    repository: str,
    path: str,
    revision: str = "main",
    folder: Path | None = None,
    endpoint: str | None = None,
    anew: bool = False,
) -> Path:
    """One file of a repository on disk, e.g. for `Checkpoint.open`: in `folder`, or in the hub's cache.

    Raises:
        PolytalkError: no connection and not in the cache, or no such file.
    """
    from huggingface_hub import hf_hub_download

    with hub_errors(repository):
        found = hf_hub_download(
            repository, path, revision=revision, local_dir=folder, endpoint=endpoint, force_download=anew
        )
    return Path(found)


@dataclass(frozen=True)
class RemoteModel:
    """A repository's index and configurations, which are here, and what else it holds."""

    folder: Path
    """Its snapshot in the hub's cache."""
    sizes: Mapping[str, int]
    """Path in the repository -> bytes; where the hub cannot be asked, of what is here."""


def fetch_configurations(repository: str, field: str = "model", endpoint: str | None = None) -> RemoteModel:
    """A repository's `model_index.json` and `config.json`s in the hub's cache; no weights are fetched.

    Args:
        repository: owner/name.
        field: what errors are about.
        endpoint: another hub than huggingface.co.

    Raises:
        PolytalkError: no such repository, or no connection and not in the cache.
    """
    from huggingface_hub import HfApi, RepoFile, errors, snapshot_download

    endpoint = endpoint or os.environ.get("HF_ENDPOINT")
    with hub_errors(repository, field):
        folder = Path(snapshot_download(repository, allow_patterns=_CONFIGURATIONS, endpoint=endpoint))
    try:
        listed = HfApi(endpoint=endpoint).list_repo_tree(repository, recursive=True)
        sizes = {entry.path: entry.size for entry in listed if isinstance(entry, RepoFile)}
    except (errors.HTTPError, OSError):
        here = (path for path in folder.rglob("*") if path.is_file())
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in here}
    return RemoteModel(folder, sizes)


@contextmanager
def hub_errors(repository: str, field: str | None = None) -> Iterator[None]:
    """Turn the hub's many errors into one line each.

    Args:
        repository: owner/name.
        field: what errors are about; None is the repository.

    Raises:
        PolytalkError: naming the repository and what to do.
    """
    from huggingface_hub import errors

    named, subject = field or repository, "" if field is None else f"{repository} is no folder here: "

    try:
        yield
    except errors.GatedRepoError as error:
        remedy = f"Accept its terms at https://huggingface.co/{repository}, then run: hf auth login."
        raise PolytalkError(named, f"{subject}its terms have not been accepted", remedy) from error
    except (
        errors.HFValidationError,
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.RemoteEntryNotFoundError,
    ) as error:
        problem = f"{subject}not found on the hub ({_first_line(error)})"
        raise PolytalkError(named, problem, "Check the name; a private one needs: hf auth login.") from error
    except errors.OfflineModeIsEnabled as error:
        raise PolytalkError(named, f"{subject}HF_HUB_OFFLINE forbids downloads", "Unset it.") from error
    except (errors.HTTPError, OSError) as error:
        problem = f"{subject}the Hugging Face hub cannot be reached ({type(error).__name__}: {_first_line(error)})"
        remedy = "Check the connection and try again, which resumes; or copy the files here from another machine."
        raise PolytalkError(named, problem, remedy) from error


def _digest(path: Path, kind: str, start: bytes = b"") -> str:
    digest = hashlib.new(kind, start)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
