"""Designs and children by name: a declaration, laid over the one it names, with every value and source inline."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import parse, read_toml
from gmfmsim.trial.children import NormalChildren, PopulationChildren
from gmfmsim.trial.design import Design
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.short import parted, written_out

AnyChildren = Annotated[NormalChildren | PopulationChildren, Field(discriminator="kind")]

DEEPEST = 8
"""Files that may name one another in a row."""


def read_design(name: str | Path, *, beside: Path | None = None, overrides: dict | None = None) -> Design:
    """Return the design of a name in designs/, or of a path ending in .toml relative to the folder `beside`.

    overrides are keys of the design, as its file would give them; see `resolve`.

    Raises InputError with every fault; those of a children file name that file.
    """
    declared, file = {"design": str(name)} | (overrides or {}), "overrides" if overrides else str(name)
    return _validated(resolve(declared, beside, file), file)


def resolve(raw: dict, beside: Path | None, file: str) -> dict:
    """Return the whole declaration of a design of which `raw` gives the name and the keys that differ.

    `design` is a name or path: the keys of that file hold, except those in `raw`. `children` is a name or path, or a
    table: on top of the children of its `population` (a name or path), else of those of the design. A key is replaced
    with all below it, so that no value keeps the source of another. With a key `kind` the declaration is whole, and
    `design` only says what it is called. beside: the folder to which paths are relative; file: what faults call `raw`.

    Raises InputError if a file that is named does not exist or is faulty in itself.
    """
    return _design(raw, beside, file, 0)


def read_children(name: str | Path, *, beside: Path | None = None) -> NormalChildren | PopulationChildren:
    """Return the children of a name in children/, or of a path ending in .toml.

    Raises InputError with every fault.
    """
    declared = _children(str(name), beside, str(name), None, 0)
    children, _ = parse(AnyChildren, declared, str(name))  # without faults: the file was validated on the way
    return children


def titles(kind: str) -> dict[str, str]:
    """Return the titles of the shipped `designs` or `children` by name."""
    return {name: read_toml(find(kind, name))["title"] for name in names(kind)}


def _design(raw: dict, beside: Path | None, file: str, depth: int) -> dict:
    """Return a declaration laid over the one it names, which must be whole, with its short form written out."""
    short, raw = parted(raw)
    laid = _laid(raw, beside, file, depth)
    if not short:
        return laid
    if "month" in short and "visits" in raw:
        raise InputError([Fault(file, "key month", "stands beside visits", "one of them: month is the last visit")])
    whole, faults = written_out(laid, short, file)
    if faults:  # those of the rest of the declaration too
        _, others = parse(AnyDesign, laid, file)
        raise InputError([*faults, *others])
    return whole


def _laid(raw: dict, beside: Path | None, file: str, depth: int) -> dict:
    """Return a declaration laid over the one it names."""
    base = {}
    if "design" in raw and "kind" not in raw:
        path = _file("designs", raw["design"], beside, file, "key design", depth)
        base = _design(read_toml(path), path.parent, path.name, depth + 1)
        _validated(base, path.name)
    if "children" not in raw:
        return base | raw
    try:
        children = _children(raw["children"], beside, file, base.get("children"), depth)
    except InputError as error:  # the other faults of the declaration with those of its children
        rest = {key: value for key, value in raw.items() if key != "children"}
        _, others = parse(AnyDesign, base | rest, file)
        raise InputError([*error.faults, *(f for f in others if not f.where.startswith("key children"))]) from None
    return base | raw | {"children": children}


def _children(
    raw: object, beside: Path | None, file: str, base: object, depth: int, *, in_file: bool = False
) -> object:
    """Return declared children laid over those they name, which must be whole, or else over `base`.

    in_file: whether `raw` is all of a children file, not a key of a design.
    """
    named = {"population": raw} if isinstance(raw, str) else raw
    if not isinstance(named, dict):
        return raw  # not a table: the fault comes where the whole is validated
    own = {key: value for key, value in named.items() if key != "population"}
    if "population" in named:
        where = "key population" if in_file else "key children" if isinstance(raw, str) else "key children.population"
        path = _file("children", named["population"], beside, file, where, depth)
        base = _children(read_toml(path), path.parent, path.name, None, depth + 1, in_file=True)
        _, faults = parse(AnyChildren, base, path.name)
        if faults:
            raise InputError(faults)
        return base | own
    return own if base is None or "kind" in own else base | own


def _file(kind: str, name: object, beside: Path | None, file: str, where: str, depth: int) -> Path:
    """Return the file of a name that a declaration gives."""
    if not isinstance(name, str):
        raise InputError([Fault(file, where, f"{shown(name)} is not allowed", "a name, or the path of a .toml file")])
    if depth >= DEEPEST:
        problem = "files name one another without end"
        raise InputError([Fault(file, where, problem, f"at most {DEEPEST} {kind} one on another")])
    return find(kind, name, beside=beside, file=file, where=where)


def _validated(declared: dict, file: str) -> Design:
    design, faults = parse(AnyDesign, declared, file)
    if faults:
        raise InputError(faults)
    return design
