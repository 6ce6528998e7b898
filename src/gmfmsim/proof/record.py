"""Dated records of what was measured: JSON by name, each entry with what it belongs to."""

import importlib.metadata
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from gmfmsim import __version__
from gmfmsim.files.store import write_json


def read_record(path: Path) -> dict:
    """Return the record in a file: entries by name; none where it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_record(path: Path, record: dict) -> None:
    """Write a record in the order of its names, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    write_json(new, dict(sorted(record.items())))
    new.replace(path)


def origin(seed: int, packages: Iterable[str]) -> dict:
    """Return when an entry is written, with which seed and versions."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    written = datetime.now(UTC).isoformat(timespec="seconds")
    return {"written": written, "seed": seed, "packages": {"gmfmsim": __version__} | versions}
