"""Arrays that were dear to compute and would come out the same: kept in the user's cache, by all they depend on."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from platformdirs import user_cache_path

Arrays = dict[str, np.ndarray]

PLACE = "GMFMSIM_CACHE"
MOST = 100
"""Files that are kept: those that were asked for last."""


def key_of(said: Iterable[str], arrays: Arrays, *, packages: Iterable[str], code: Iterable[Path]) -> str:
    """Return the name of what depends on these words and arrays, on the versions of packages and on source files."""
    digest = hashlib.sha256()
    for word in (*said, *(f"{name} {version(name)}" for name in packages)):
        digest.update(f"{len(word)} {word}".encode())
    for path in sorted(code):
        digest.update(path.read_bytes())
    for name, array in sorted(arrays.items()):
        values = array.astype(str) if array.dtype == object else array
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def remembered(key: str, compute: Callable[[], Arrays]) -> Arrays:
    """Return the arrays of a key as they were computed before, or compute and keep them.

    In the user's cache, or the folder that the variable `PLACE` of the environment names; nowhere if that is empty. A
    cache that cannot be read or written, or holds something else, is as good as none.
    """
    place = os.environ.get(PLACE)
    if place == "":
        return compute()
    folder = Path(place) if place else user_cache_path("gmfmsim")
    file = folder / f"{key}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
        with file.open("rb") as raw, np.load(raw, allow_pickle=False) as kept:
            found = {name: kept[name] for name in kept.files}
        with suppress(OSError):
            file.touch()
        return found
    found = compute()
    with suppress(OSError):
        _keep(folder, file, found)
    return found


def _keep(folder: Path, file: Path, arrays: Arrays) -> None:
    """Write arrays to a file that is there whole or not at all; forget the files that nobody asked for longest."""
    folder.mkdir(parents=True, exist_ok=True)
    number, draft = tempfile.mkstemp(prefix=".", suffix=".npz", dir=folder)
    try:
        with os.fdopen(number, "wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]
        Path(draft).replace(file)
    finally:
        Path(draft).unlink(missing_ok=True)
    for old in sorted(folder.glob("[!.]*.npz"), key=lambda path: path.stat().st_mtime)[:-MOST]:
        old.unlink(missing_ok=True)
