"""The grammar of experiments/*.toml: one question, one plan or several side by side."""

import hashlib
import json
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray as xr
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.pooled import PooledChoice, PooledEstimate, pooled_estimate
from gmfmsim.evidence.read import PACKAGE_TABLES, Tables, read_tables
from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.priors import Fixed
from gmfmsim.shipped import find
from gmfmsim.spec import Spec, parse, read_toml
from gmfmsim.trial.design import Analysis, Parallel
from gmfmsim.trial.size import Search

METHOD = 1
"""Version of the method. Raise it when the same config must give other numbers; it is part of every key."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")


class EvidenceSpec(Spec):
    """Where the evidence comes from: contrasts to fit a model to, or one published pooled estimate."""

    tables: str = "package"
    select: Selection | None = None
    pooled: PooledChoice | None = None

    @model_validator(mode="after")
    def _one_source(self):
        if (self.select is None) == (self.pooled is None):
            raise PydanticCustomError("evidence", "either select (contrasts) or pooled (a published estimate)")
        return self


class Plan(Spec):
    """Everything that determines one required n."""

    label: str = Field(default="main", min_length=1, max_length=60)
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    evidence: EvidenceSpec
    model: ModelChoice | None = None
    sampler: Sampler = Sampler()
    trial: Parallel
    analysis: Analysis = Analysis()
    search: Search

    @model_validator(mode="after")
    def _model_for_contrasts(self):
        if (self.model is None) == (self.evidence.pooled is None):
            raise PydanticCustomError("model", "a [model] with evidence.select, and none with evidence.pooled")
        return self


class Header(Spec):
    """What an experiment file says beside its plan."""

    name: str | None = Field(default=None, pattern=f"^{_NAME.pattern}$")
    question: str = Field(min_length=1)
    alternatives: list[dict] = Field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """A plan with everything read and checked that it needs: contrasts and model, or a published estimate."""

    plan: Plan
    tables: Tables
    contrasts: xr.Dataset | None
    model: ModelSpec | None
    model_file: Path | None
    published: PooledEstimate | None

    @property
    def slug(self) -> str:
        """The label as a file name."""
        plain = re.sub(r"[^a-z0-9]+", "-", self.plan.label.lower()).strip("-")
        return plain or f"plan-{zlib.crc32(self.plan.label.encode()):08x}"

    @property
    def unit(self) -> str:
        """The unit of the effect."""
        return self.published.unit if self.published else "GMFM-66 points"

    @property
    def observed_doses(self) -> tuple[float, float] | None:
        """The lowest and highest known dose of the contrasts, in cells/kg."""
        return _range(self.contrasts["dose"].values) if self.contrasts is not None else None

    @property
    def observed_months(self) -> tuple[float, float] | None:
        """The first and last month of the contrasts."""
        return _range(self.contrasts["month"].values) if self.contrasts is not None else None

    @property
    def dose_outside_evidence(self) -> bool | None:
        """Whether the dose of the trial lies outside the doses studied; None where those are not known."""
        return _outside(self.plan.trial.active.dose, self.observed_doses)

    @property
    def month_outside_evidence(self) -> bool | None:
        """Whether the month of the trial lies outside the months studied; None where those are not known."""
        return _outside(self.plan.trial.month, self.observed_months)

    @property
    def own_inputs(self) -> dict[str, Path]:
        """The user's own tables and model, by the place where a result keeps a copy of them."""
        own = {}
        if self.plan.evidence.tables != "package":
            own[f"inputs/tables-{self.tables.sha256[:8]}"] = self.tables.folder
        if self.model_file:
            digest = hashlib.sha256(self.model_file.read_bytes()).hexdigest()
            own[f"inputs/model-{digest[:8]}.toml"] = self.model_file
        return own

    @property
    def config(self) -> dict:
        """The plan with every default written out, its own inputs named by their copies in the result."""
        config = self.plan.model_dump(mode="json", exclude_none=True)
        for place, source in self.own_inputs.items():
            config["model" if source == self.model_file else "evidence"][
                "name" if place.endswith(".toml") else "tables"
            ] = place
        return config


def _range(values: np.ndarray) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else None


def _outside(value: float, observed: tuple[float, float] | None) -> bool | None:
    return None if observed is None else not observed[0] <= value <= observed[1]


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

        Tables and model count by what they hold, not by where they stand.
        """
        parts = [
            p.plan.model_dump(mode="json", exclude={"evidence": {"tables"}, "model": True})
            | {"tables": p.tables.sha256, "model": p.model and p.model.model_dump(mode="json")}
            for p in self.plans
        ]
        text = json.dumps([METHOD, self.name, self.question, parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_experiment(name: str) -> Experiment:
    """Read and check an experiment: a shipped name, or the path of a .toml file. Nothing is computed.

    Raises InputError with every fault of the file, of the tables and of the models it uses.
    """
    path = find("experiments", name)
    raw = read_toml(path)
    header, faults = parse(Header, {k: raw[k] for k in Header.model_fields if k in raw}, path.name)
    name_in_file = raw.get("name", path.stem)
    if header and not _NAME.fullmatch(name_in_file):
        problem = f"{shown(name_in_file)} cannot name a results folder"
        faults.append(Fault(path.name, "file name", problem, "letters, digits, _ and -, up to 61"))
    base = {k: v for k, v in raw.items() if k not in Header.model_fields}
    prepared, found = _prepare(base, path)
    plans, faults, inherited = [prepared], faults + found, {(f.where, f.problem) for f in found}
    alternatives = raw.get("alternatives", [])
    for i, override in enumerate(alternatives if isinstance(alternatives, list) else []):
        if isinstance(override, dict):
            prepared, found = _prepare(_overlay(base, {"label": f"alternative {i + 1}"} | override), path)
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
    return Experiment(name_in_file, header.question, tuple(plans))


def _at_alternative(fault: Fault, position: int, file: str) -> Fault:
    """Say that a fault of the experiment file stands in one of its alternatives."""
    if fault.file != file:
        return fault
    return replace(fault, where=fault.where.replace("key ", f"key alternatives.{position}.", 1))


def _prepare(raw: dict, path: Path) -> tuple[Prepared | None, list[Fault]]:
    """Check one plan: its keys first, then, section by section, what the keys refer to."""
    plan, faults = parse(Plan, raw, path.name)
    evidence, _ = parse(EvidenceSpec, raw.get("evidence"), path.name)
    choice, _ = parse(ModelChoice, raw.get("model"), path.name)
    tables = contrasts = published = model = None
    try:
        if evidence:
            tables = read_tables(PACKAGE_TABLES if evidence.tables == "package" else path.parent / evidence.tables)
            if evidence.select:
                contrasts = select_contrasts(tables, evidence.select, path.name)
            else:
                published = pooled_estimate(tables, evidence.pooled, path.name)
    except InputError as error:
        faults += error.faults
    try:
        model = read_model(choice, beside=path.parent, file=path.name) if choice else None
    except InputError as error:
        faults += error.faults
    if model and contrasts is not None:
        faults += _silent_faults(model, contrasts, path.name)
    if plan and published:
        faults += _unit_faults(plan, published, path.name)
    if faults:
        return None, faults
    own = (path.parent / choice.name).resolve() if choice and choice.name.endswith(".toml") else None
    return Prepared(plan, tables, contrasts, model, own, published), []


def _unit_faults(plan: Plan, published: PooledEstimate, file: str) -> list[Fault]:
    """Return a fault where the SD of a trial is not in the unit of a published effect."""
    sd, given = plan.trial.sd_change, "sd_change" in plan.trial.model_fields_set
    if published.unit == "standard deviations" and not (isinstance(sd, Fixed) and sd.value == 1):
        problem = f"{sd if given else 'the default in points'} does not fit an effect in standard deviations"
        return [Fault(file, "key trial.sd_change", problem, '{ dist = "fixed", value = 1 }')]
    return []


def _silent_faults(model: ModelSpec, contrasts: xr.Dataset, file: str) -> list[Fault]:
    """Return the contrasts of which a curve can make nothing: an unknown dose, or the same effect in both arms."""
    where, curve = "key evidence.select", model.shape
    dose, control = contrasts["dose"].values, contrasts["control_dose"].values
    unknown = curve.uses_dose & ~np.isfinite(dose + control)
    equal = ~unknown & ((dose == control) | (~np.bool(curve.uses_dose) & (control != 0)))
    faults = []
    for rows, problem, allowed in (
        (unknown, "no dose is known for", f"contrasts with known doses, which curve {model.curve} needs"),
        (
            equal,
            f"under curve {model.curve} both arms are alike in",
            "contrasts between arms that the curve tells apart",
        ),
    ):
        if rows.any():
            faults.append(Fault(file, where, f"{problem} {', '.join(contrasts['contrast'].values[rows])}", allowed))
    return faults


def _overlay(base: dict, override: dict) -> dict:
    """Return base with override laid over it, table by table; anything but a table is replaced whole.

    So is a distribution, and one source of evidence by the other (a published estimate takes no model).
    """
    evidence = override.get("evidence", {})
    if isinstance(evidence, dict) and ("pooled" in evidence) != ("select" in evidence):
        gone = "select" if "pooled" in evidence else "pooled"
        kept = base.get("evidence", {})
        base = base | {"evidence": {k: v for k, v in kept.items() if k != gone} if isinstance(kept, dict) else kept}
        base = {k: v for k, v in base.items() if k != "model" or gone != "select"}
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict) and "dist" not in value
        merged[key] = _overlay(base[key], value) if both else value
    return merged
