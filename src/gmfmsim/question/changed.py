"""Some keys of an experiment changed, as a command line says them: a question that needs no file of its own."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gmfmsim.evidence.joined import PACKAGE
from gmfmsim.faults import Fault, InputError, shortened, shown
from gmfmsim.files.toml import in_line
from gmfmsim.question.plans import laid_over

PLACE = "command line"
"""Where faults of a change are said to stand."""

ASK_NOTHING = ("seed", "name", "label")
"""Keys whose change leaves the question as it is."""

LONGEST = 2000
"""Characters of a question."""

KEYS = {
    "effect": "search.planning_value",
    "sd": "trial.sd_change",
    "alpha": "analysis.alpha",
    "ratio": "trial.ratio",
    "dropout": "trial.dropout",
    "correlation": "trial.baseline_correlation",
    "month": "trial.month",
}
"""The key of an experiment that each short word of a question stands for."""


def in_short(power: float | None = None, assurance: float | None = None, **said: float | None) -> dict[str, Any]:
    """Return the changes, by key, that a question in a few words makes; None says nothing.

    power, assurance: the target, one of them; with an effect and neither, 80 % power. The effect is taken as known. sd:
    of the change to the endpoint, taken as known. correlation: of the baseline with the endpoint, of which an analysis
    of covariance makes use. The others are `KEYS`. Raises InputError for two targets.
    """
    found: dict[str, Any] = {KEYS[word]: value for word, value in said.items() if value is not None}
    if power is not None and assurance is not None:
        raise InputError([Fault(PLACE, "--assurance", "stands beside --power", "one target: --power or --assurance")])
    if (sd := said.get("sd")) is not None:
        found[KEYS["sd"]] = {"dist": "fixed", "value": float(sd)}
    if said.get("correlation") is not None:
        found["analysis.method"] = "ancova"
    if power is None and assurance is None and said.get("effect") is not None:
        power = 0.8
    for metric, value in (("power", power), ("assurance", assurance)):
        if value is not None:
            found["search.target"] = {"metric": metric, "value": value}
    return found


def asked_anew(raw: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an experiment file holds with changes by key, see `changed`; its question says what they are.

    A seed, a name or a label asks nothing else, nor does what the file says already. Raises InputError as `changed`.
    """
    new, asks = changed(raw, from_here(changes)), raw.get("question")
    other = {key: value for key, value in sorted(changes.items()) if key not in ASK_NOTHING and _at(raw, key) != value}
    if not other or not isinstance(asks, str) or "question" in changes:
        return new
    said = ", ".join(f"{key} = {in_line(value)}" for key, value in other.items())
    return new | {"question": shortened(f"{asks} Changed: {said}.", LONGEST)}


def said_as(words: Iterable[str]) -> dict[str, Any]:
    """Return the changes that words KEY=VALUE say, by key: a value of TOML, or else a text.

    Raises InputError with every word that says none, or says a key again.
    """
    found: dict[str, Any] = {}
    faults = []
    for word in words:
        key, is_one, value = word.partition("=")
        key = key.strip()
        if not is_one or not all(key.split(".")):
            allowed = "KEY=VALUE, the key as in an experiment: trial.dropout=0.15"
            faults.append(Fault(PLACE, "--set", f"{shown(word)} is not understood", allowed))
        elif key in found:
            faults.append(Fault(PLACE, "--set", f"{shown(key)} is said twice", "each key once"))
        else:
            found[key] = _value(value.strip())
    if faults:
        raise InputError(faults)
    return found


def changed(raw: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an experiment file holds, laid over with changes by key, as one alternative is laid over a plan.

    Keys of tables within tables are parted by points; the order of the changes says nothing. Alternatives of the
    experiment keep what they say themselves. Raises InputError for a key that leads through what the file says is no
    table, or through another change.
    """
    override: dict[str, Any] = {}
    for key, value in changes.items():
        if outer := next((other for other in changes if key.startswith(f"{other}.")), None):
            raise InputError([Fault(PLACE, f"key {key}", f"{shown(outer)} is changed as a whole", "one of the two")])
        *tables, last = key.split(".")
        here, there = override, raw
        for table in tables:
            here, there = here.setdefault(table, {}), there.get(table, {})
            if not isinstance(there, dict):
                problem = f"{shown(table)} is no table there: {shown(there)}"
                raise InputError([Fault(PLACE, f"key {key}", problem, "gmfmsim show experiment shows what it holds")])
        here[last] = value
    return laid_over(raw, override)


def from_here(value: Any, key: str = "") -> Any:
    """Return what a change says with the paths in it as a shell has them: relative to the current folder.

    A path is what ends in .toml, and what a key `tables` names beside the shipped ones. In a file they are relative to
    the folder of the file; of a shipped experiment nobody knows that folder.
    """
    if isinstance(value, Mapping):
        return {name: from_here(inner, str(name).rpartition(".")[2]) for name, inner in value.items()}
    if isinstance(value, list):
        return [from_here(inner, key) for inner in value]
    is_path = isinstance(value, str) and (value.endswith(".toml") or (key == "tables" and value != PACKAGE))
    return str(Path().absolute() / value) if is_path else value


def _at(raw: dict[str, Any], key: str) -> object:
    """Return what an experiment file says at a key; None where it says nothing."""
    found: object = raw
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _value(text: str) -> object:
    """Return a value of TOML; what is none is a text, so that it needs no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
