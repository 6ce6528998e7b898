"""Names are files: model `emax` is models/emax.toml, experiment `quickstart` is experiments/quickstart.toml."""

from pathlib import Path

from gmfmsim.faults import Fault, InputError, choices


def shelf(kind: str) -> Path:
    """Return the folder of the shipped `models` or `experiments`: inside an installed package, else at the top
    of the source tree."""
    installed = Path(__file__).parent / kind
    return installed if installed.is_dir() else Path(__file__).parents[2] / kind


def names(kind: str) -> list[str]:
    """Return the names of the shipped models or experiments."""
    return sorted(path.stem for path in shelf(kind).glob("*.toml"))


def find(kind: str, name: str, beside: Path | None = None) -> Path:
    """Return the file for a name, or the path itself if `name` ends in .toml (relative to the folder `beside`).

    Raises InputError with the known names if there is no such file.
    """
    path = (beside or Path()) / name if name.endswith(".toml") else shelf(kind) / f"{name}.toml"
    if not path.is_file() or (not name.endswith(".toml") and name not in names(kind)):
        problem = (
            f"there is no {kind[:-1]} of this name"
            if path.suffix == ".toml" and not name.endswith(".toml")
            else "does not exist"
        )
        allowed = choices(name, names(kind)) + f", or the path of a {kind[:-1]} file ending in .toml"
        raise InputError([Fault(name, kind[:-1], problem, allowed)])
    return path
