"""The grammar of experiments/*.toml: one question, one plan or several side by side."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import xarray as xr
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.pooled import PooledChoice, PooledEstimate, pooled_estimate
from gmfmsim.evidence.read import PACKAGE_TABLES, Tables, read_tables
from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.nuts import Sampler
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
    published: PooledEstimate | None

    @property
    def slug(self) -> str:
        """The label as a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.plan.label.lower()).strip("-") or "plan"

    @property
    def unit(self) -> str:
        """The unit of the effect."""
        return self.published.unit if self.published else "GMFM-66 points"

    @property
    def observed_doses(self) -> tuple[float, float] | None:
        """The lowest and highest dose studied, where the model uses the dose."""
        if self.contrasts is None or not self.model.shape.uses_dose:
            return None
        return float(self.contrasts["dose"].min()), float(self.contrasts["dose"].max())

    @property
    def extrapolates(self) -> bool:
        """Whether the dose of the trial lies outside the doses studied (in a model that uses the dose)."""
        low, high = self.observed_doses or (0.0, float("inf"))
        return not low <= self.plan.trial.active.dose <= high


@dataclass(frozen=True)
class Experiment:
    """A question and its plans, checked and ready to run. The first plan gives the answer."""

    name: str
    question: str
    plans: tuple[Prepared, ...]

    @property
    def config(self) -> dict:
        """The resolved configuration: every default written out. Running it again gives the same key."""
        first, *others = (p.plan.model_dump(mode="json", exclude_none=True) for p in self.plans)
        return {"name": self.name, "question": self.question} | first | ({"alternatives": others} if others else {})

    @property
    def key(self) -> str:
        """Hash of configuration, evidence, models and version of the method: the name of the results folder."""
        parts = [
            p.plan.model_dump(mode="json", exclude={"evidence": {"tables"}})
            | {"tables": p.tables.sha256, "declaration": p.model and p.model.model_dump(mode="json")}
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
    own = {k: raw[k] for k in Header.model_fields if k in raw}
    header, faults = parse(Header, own, path.name)
    base = {k: v for k, v in raw.items() if k not in Header.model_fields}
    name_in_file = own.get("name", path.stem)
    if header and not _NAME.fullmatch(name_in_file):
        faults.append(
            Fault(
                path.name,
                "file name",
                f"{shown(name_in_file)} cannot name a results folder",
                "letters, digits, _ and -",
            )
        )
    plans: list[Prepared] = []
    for i, override in enumerate([{}, *(header.alternatives if header else [])]):
        label = {"label": f"alternative {i}"} if i and "label" not in override else {}
        prepared, found = _prepare(_merge(base, override | label), path, f"alternatives.{i - 1}" if i else "")
        faults += found if not i else _not_in_base(found, faults, f"alternatives.{i - 1}.")
        plans += [prepared] if prepared else []
    labels = [p.slug for p in plans]
    for twice in sorted({s for s in labels if labels.count(s) > 1}):
        faults.append(
            Fault(path.name, "key label", f"{twice!r} names several plans", "a different label for each plan")
        )
    if faults:
        raise InputError(faults)
    return Experiment(name_in_file, header.question, tuple(plans))


def _prepare(raw: dict, path: Path, prefix: str) -> tuple[Prepared | None, list[Fault]]:
    """Check one plan: its keys first, then, section by section, what the keys refer to."""
    plan, faults = parse(Plan, raw, path.name, prefix)
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
        model = read_model(choice, path.parent) if choice else None
    except InputError as error:
        faults += error.faults
    if model and contrasts is not None:
        faults += _dose_faults(model, contrasts, path.name)
    return (None, faults) if faults else (Prepared(plan, tables, contrasts, model, published), [])


def _dose_faults(model: ModelSpec, contrasts: xr.Dataset, file: str) -> list[Fault]:
    unknown = contrasts["contrast"].values[~(contrasts["dose"] + contrasts["control_dose"]).notnull().values]
    if not model.shape.uses_dose or not unknown.size:
        return []
    return [
        Fault(
            file,
            "key evidence.select",
            f"no dose is known for {', '.join(unknown)}",
            f"contrasts with a dose, which curve {model.curve} needs",
        )
    ]


def _not_in_base(found: list[Fault], base: list[Fault], prefix: str) -> list[Fault]:
    """Drop what an alternative only inherits: the base plan has reported it already."""
    reported = {(f.where, f.problem) for f in base}
    return [f for f in found if (f.where.replace(prefix, ""), f.problem) not in reported]


def _merge(base: dict, override: dict) -> dict:
    """Return base with override laid over it, table by table; anything but a table is replaced whole."""
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged
