"""The results folder: results/<experiment>/<key>/, complete or absent, never half-written."""

import errno
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gmfmsim.faults import Fault, InputError

MANIFEST = "manifest.json"
ESSENTIAL = {"answer.json", "report.html", "config.toml"}


def is_complete(folder: Path) -> bool:
    """Return whether every file that the manifest of `folder` lists is there, byte for byte."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return files.keys() >= ESSENTIAL and all(_sha256(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no manifest, or none of ours
        return False


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Yield an empty draft folder that becomes `folder` when the block ends well, and vanishes when it does not.

    A folder that stood there incomplete (a clone holds only the readable part of a result) is replaced whole; one
    that another run completed meanwhile stays.
    Raises InputError if the results folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise NotADirectoryError(0, "a file or link stands where the result belongs")
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        yield draft
        draft.chmod(0o755)
        if not is_complete(folder):
            _replace(folder, draft)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTEMPTY, errno.EFBIG):
            raise _unwritable(folder, error) from None
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # only where nothing was ever written


def _replace(folder: Path, draft: Path) -> None:
    """Put draft in the place of folder; what stood there is moved aside first and then removed."""
    aside = draft.with_name(draft.name + "-old")
    with suppress(FileNotFoundError):
        folder.rename(aside)
    try:
        draft.rename(folder)
    except OSError:
        if not is_complete(folder):  # else another run was quicker, with the same result
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> InputError:
    problem = f"cannot be written: {error.strerror or error}"
    return InputError([Fault(str(folder), "results folder", problem, "a folder you may write to, with space left")])


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, indented, keys in the given order, newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_manifest(draft: Path, manifest: dict) -> None:
    """Write the manifest with the SHA-256 of every other file of the draft."""
    files = {str(p.relative_to(draft)): _sha256(p) for p in sorted(draft.rglob("*")) if p.is_file()}
    write_json(draft / MANIFEST, manifest | {"files": files})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
