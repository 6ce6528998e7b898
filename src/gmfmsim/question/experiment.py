"""The grammar of experiments/*.toml: one question, one plan or several side by side."""

import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from gmfmsim import __version__
from gmfmsim.evidence.schema import Tables
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.faults import MOST_SOUGHT, Fault, InputError, shown
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import Spec, parse, read_toml
from gmfmsim.question.plan import OF_CONTRASTS, Prepared, prepare

METHOD = 3
"""Version of the method. Raise it when the same config must give other numbers; it is part of every key."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")

MOST_ALTERNATIVES = 50
"""Alternatives of an experiment."""


class Header(Spec):
    """What an experiment file says beside its plan."""

    name: str | None = Field(default=None, pattern=f"^{NAME.pattern}$")
    question: str = Field(min_length=1, max_length=2000)
    alternatives: list[dict] = Field(default_factory=list, max_length=MOST_ALTERNATIVES)


MOST_CHILDREN = 4_000
"""Children per arm up to which a design is tried where no experiment says: children are drawn one by one."""


@dataclass(frozen=True)
class Experiment:
    """A question and its plans, checked and ready to run. The first plan gives the answer."""

    name: str
    question: str
    plans: tuple[Prepared, ...]

    @property
    def config(self) -> dict:
        """The resolved configuration: every default written out. Running it again gives the same key."""
        first, *others = (p.config for p in self.plans)
        return {"name": self.name, "question": self.question} | first | ({"alternatives": others} if others else {})

    @property
    def key(self) -> str:
        """Hash of configuration, evidence, models and version of the method: the name of the results folder.

        Tables and model count by what they hold, not by where they stand: all that were read (`judged_by`).
        """
        parts = [
            p.plan.model_dump(mode="json", exclude={"evidence": {"tables"}, "model": True})
            | {
                "tables": p.tables.sha256,
                "models": [m.model_dump(mode="json") for m in p.models.values()],
                "weights": p.plan.model and p.plan.model.weights,
            }
            | judged_by(p.tables)
            for p in self.plans
        ]
        text = json.dumps([METHOD, self.name, self.question, parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def judged_by(tables: Tables) -> dict[str, str]:
    """Return the SHA-256 of the shipped tables where a user's own are read: they are the field that these are judged
    by, and that gives SDs where these have too few. Nothing for the shipped tables themselves."""
    shipped = shipped_tables().sha256
    return {} if tables.sha256 == shipped else {"field": shipped}


def read_experiment(name: str) -> Experiment:
    """Read and check an experiment: a shipped name, or the path of a .toml file. Nothing is computed.

    Raises InputError with every fault of the file, of the tables and of the models it uses.
    """
    path = find("experiments", name)
    return experiment_from(read_toml(path), path)


def experiment_of_design(name: str, base: str = "quickstart") -> Experiment:
    """Return the experiment that asks of a design (a shipped name, or the path of a .toml file) what `base` asks.

    Evidence, model, target and seed are those of the shipped experiment `base`; the exact engine alone fits the model.

    Raises InputError with every fault of the design.
    """
    design = find("designs", name)
    raw = read_toml(find("experiments", base))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", design.stem)[:50]
    own = {
        "name": f"design-{stem}",
        "question": f"What does the design {stem} show, and how many children does it need?",
        "sampler": {"cross_check": False} | raw.get("sampler", {}),
        "search": {k: v for k, v in raw["search"].items() if k != "replicates"} | {"max_n_per_arm": MOST_CHILDREN},
        "trial": {"design": name},
    }
    return experiment_from({k: v for k, v in raw.items() if k != "analysis"} | own, Path(f"design-{stem}.toml"))


def experiment_from(raw: dict, path: Path) -> Experiment:
    """Check what an experiment file holds; paths in it are relative to the folder of `path`.

    Raises InputError with every fault, as `read_experiment`.
    """
    header, faults = parse(Header, {k: raw[k] for k in Header.model_fields if k in raw}, path.name)
    own_name, found = file_name(raw, path)
    faults += found if header else []
    base = {k: v for k, v in raw.items() if k not in Header.model_fields}
    prepared, found = prepare(base, path)
    plans, faults, inherited = [prepared], faults + found, {(f.where, f.problem) for f in found}
    alternatives = raw.get("alternatives", [])
    countable = isinstance(alternatives, list) and len(alternatives) <= MOST_ALTERNATIVES  # else told by the header
    for i, override in enumerate(alternatives if countable else []):
        if len(faults) > MOST_SOUGHT:
            break  # each alternative costs as much as the experiment
        if isinstance(override, dict):
            labelled = {"label": f"alternative {i + 1}"} | override
            prepared, found = prepare(_overlay(_without_replaced(base, override), labelled), path)
            own = [f for f in found if (f.where, f.problem) not in inherited]
            faults += [_at_alternative(f, i, path.name) for f in own]
            plans.append(prepared)
    if not faults:
        labels = [(p.slug, p.plan.label) for p in plans]
        twice = [label for i, (slug, label) in enumerate(labels) if slug in {s for s, _ in labels[:i]}]
        faults = [
            Fault(path.name, "key label", f"{shown(t)} names several plans", "a different label for each plan")
            for t in twice
        ]
    if faults:
        raise InputError(faults)
    return Experiment(own_name, header.question, tuple(plans))


def file_name(raw: dict, path: Path) -> tuple[str, list[Fault]]:
    """Return the name of an experiment, its own or its file's, and a fault if it cannot name a results folder."""
    name = raw.get("name", path.stem)
    if isinstance(name, str) and NAME.fullmatch(name):
        return name, []
    problem = f"{shown(name)} cannot name a results folder"
    return str(name), [Fault(path.name, "file name", problem, "letters, digits, _ and -, up to 61")]


def provenance(experiment, packages: Iterable[str], seconds: float) -> dict:
    """Return what every manifest says: which experiment, when, how long, and with which versions."""
    return {
        "experiment": experiment.name,
        "key": experiment.key,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "gmfmsim": __version__,
        "method": METHOD,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "seconds": round(seconds, 3),
    }


def _at_alternative(fault: Fault, position: int, file: str) -> Fault:
    """Say that a fault of the experiment file stands in one of its alternatives."""
    if fault.file != file:
        return fault
    place = f"key alternatives.{position}"
    inside = fault.where.removeprefix("key ") if fault.where.startswith("key ") else ""
    return replace(fault, where=f"{place}.{inside}" if inside else place)


def _without_replaced(base: dict, override: dict) -> dict:
    """Return base without what an override replaces: the design, one model by several, contrasts by an estimate."""
    trial, wanted = base.get("trial"), override.get("trial")
    if isinstance(trial, dict) and isinstance(wanted, dict):
        another = "kind" in wanted or wanted.get("design") not in (None, trial.get("design"))  # with a kind it is whole
        base = {k: v for k, v in base.items() if not another or k not in ("trial", "analysis")}
    model, other = base.get("model"), override.get("model")
    if isinstance(model, dict) and isinstance(other, dict) and ("name" in other) != ("average" in other):
        replaced = {"average", "weights"} if "name" in other else {"name"}
        base = base | {"model": {k: v for k, v in model.items() if k not in replaced}}
    kept, evidence = base.get("evidence"), override.get("evidence")
    if not isinstance(kept, dict) or not isinstance(evidence, dict) or ("pooled" in evidence) == ("select" in evidence):
        return base
    to_published = "pooled" in evidence
    gone = OF_CONTRASTS if to_published else {"pooled"}
    base = base | {"evidence": {k: v for k, v in kept.items() if k not in gone}}
    return {k: v for k, v in base.items() if k != "model" or not to_published}


def _overlay(base: dict, override: dict) -> dict:
    """Return base with override laid over it, table by table; anything else, and a distribution, is replaced whole."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and "dist" not in value
        merged[key] = _overlay(base[key], value) if both else value
    return merged
