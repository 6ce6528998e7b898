"""Names are files: model `emax` is models/emax.toml, design `sun2017` is designs/sun2017.toml."""

import os
from pathlib import Path

from gmfmsim.faults import Fault, InputError, choices, shown

ONE = {"models": "model", "experiments": "experiment", "designs": "design", "children": "children file"}
"""The kinds of shipped files, each with the word for one of them."""


def shelf(kind: str) -> Path:
    """Return the folder of the shipped `models`, `experiments`, `designs` or `children`: inside an installed package,
    else at the top of the source tree."""
    installed = Path(__file__).parents[1] / kind
    return installed if installed.is_dir() else Path(__file__).parents[3] / kind


def names(kind: str) -> list[str]:
    """Return the names of the shipped models, experiments, designs or children."""
    return sorted(path.stem for path in shelf(kind).glob("*.toml"))


def find(kind: str, name: str | Path, *, beside: Path | None = None, file: str = "", where: str = "") -> Path:
    """Return the file for a name, or the path itself if `name` ends in .toml (relative to the folder `beside`).

    file and where say, in the fault, where the name was written; by default it was given by the user.

    Raises InputError with the known names if there is no such file.
    """
    name = str(name)
    is_path = name.endswith(".toml")
    path = (beside or Path()) / name if is_path else shelf(kind) / f"{name}.toml"
    if (is_path and os.path.isfile(path)) or name in names(kind):  # isfile is false for names no file can have
        return path
    problem = f"{shown(name)} does not exist" if is_path else f"{shown(name)} is not the name of a shipped {ONE[kind]}"
    allowed = choices(name, names(kind)) + ", or the path of a file ending in .toml"
    raise InputError([Fault(file or name[:200], where or ONE[kind], problem, allowed)])
