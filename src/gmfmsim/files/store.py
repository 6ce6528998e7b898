"""The results folder: results/<experiment>/<key>/, complete or absent, never half-written."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gmfmsim.faults import Fault, InputError

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

MANIFEST = "manifest.json"
LOCK = ".lock"
"""What the file of a draft's lock ends in, beside the draft and of its name."""

ESSENTIAL = {"answer.json", "report.html", "config.toml"}


def is_complete(folder: Path) -> bool:
    """Return whether every file that the manifest of `folder` lists is there, byte for byte."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return files.keys() >= ESSENTIAL and all(_sha256(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no manifest, or none of ours
        return False


@contextmanager
def writing(folder: Path, *, anew: bool = False) -> Iterator[Path]:
    """Yield an empty draft folder that becomes `folder` when the block ends well, and vanishes when it does not.

    A folder that stood there incomplete (a clone holds only the readable part of a result) is replaced whole; one
    that another run completed meanwhile stays, unless it is to be made `anew`. What a killed process leaves is for
    `sweep`.
    Raises InputError if the results folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise NotADirectoryError(0, "a file or link stands where the result belongs")
        lock, file = _claim(folder)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unwritable(folder, error) from None
    draft = lock.with_suffix("")
    try:
        draft.mkdir()
        yield draft
        if anew or not is_complete(folder):
            _replace(folder, draft)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTEMPTY, errno.EFBIG):
            raise _unwritable(folder, error) from None
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _release(lock, file)
        with suppress(OSError):
            folder.parent.rmdir()  # only where nothing was ever written


def sweep(experiment: Path) -> None:
    """Finish or remove what killed runs left in the folder of an experiment, and nothing that a living one writes.

    A draft belongs to whoever holds its lock. The operating system lets go of a lock when its process ends, however it
    ends, and of no other: neither the number of a process nor the time says as much.
    """
    with suppress(OSError, ValueError):  # of a folder that cannot be: `writing` says so
        for lock in sorted(experiment.glob(f".*{LOCK}")):
            with suppress(OSError):  # swept by another run meanwhile, or another user's
                _sweep_one(lock)


def _sweep_one(lock: Path) -> None:
    """Finish or remove one draft, and what was moved aside for it, unless its lock is held."""
    file = os.open(lock, os.O_RDWR)
    try:
        if not _locked(file):
            return
        draft = lock.with_suffix("")
        folder, aside = lock.with_name(draft.name[1:].rpartition("-")[0]), _aside(draft)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)  # what stood there has been replaced
        if is_complete(draft) and not is_complete(folder):
            _replace(folder, draft)
        elif not folder.exists() and aside.exists():
            aside.rename(folder)
        shutil.rmtree(draft, ignore_errors=True)
        lock.unlink(missing_ok=True)
    finally:
        os.close(file)


def _replace(folder: Path, draft: Path) -> None:
    """Put draft in the place of folder; what stood there is moved aside first, and then removed or put back."""
    aside = _aside(draft)
    draft.chmod(0o755)
    with suppress(FileNotFoundError):
        folder.rename(aside)
    try:
        draft.rename(folder)
    except OSError:
        if not is_complete(folder):  # else another run was quicker, with the same result
            raise
    finally:
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            with suppress(OSError):
                aside.rename(folder)


def _aside(draft: Path) -> Path:
    """Return where the owner of a draft keeps what stood in its place."""
    return draft.with_name(draft.name + "-old")


def _claim(folder: Path) -> tuple[Path, int | None]:
    """Make and lock the file that says that a draft of `folder` is being written; return it, and it opened.

    Where the file system has no locks there is none: then nobody else can tell whether the draft is still written, and
    nobody sweeps it.
    """
    while True:
        file, name = tempfile.mkstemp(prefix=f".{folder.name}-", suffix=LOCK, dir=folder.parent)
        lock = Path(name)
        try:
            if _locked(file) and os.fstat(file).st_nlink:  # else a sweep came between
                return lock, file
        except OSError:
            _release(lock, file)
            return lock, None
        _release(lock, file)


def _release(lock: Path, file: int | None) -> None:
    """Remove a lock and let go of it."""
    if file is not None:
        with suppress(OSError):
            lock.unlink()
        os.close(file)


def _locked(file: int) -> bool:
    """Lock an open file until it is closed or this process ends; return False where another holds it.

    Raises OSError where the file system has no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOLCK, "no locks")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unwritable(folder: Path, error: OSError | ValueError) -> InputError:
    problem = f"cannot be written: {getattr(error, 'strerror', None) or error}"
    return InputError([Fault(str(folder), "results folder", problem, "a folder you may write to, with space left")])


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, indented, keys in the given order, newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_manifest(draft: Path, manifest: dict[str, object]) -> None:
    """Write the manifest with the SHA-256 of every other file of the draft."""
    files = {str(p.relative_to(draft)): _sha256(p) for p in sorted(draft.rglob("*")) if p.is_file()}
    files.pop(MANIFEST, None)
    write_json(draft / MANIFEST, manifest | {"files": files})


def rehash(folder: Path) -> None:
    """Write the manifest of a folder again, of which files were made anew: all else that it says stays."""
    said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    write_manifest(folder, {name: value for name, value in said.items() if name != "files"})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
