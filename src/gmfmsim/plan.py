"""One plan: everything that determines a required n, and the evidence and model it refers to."""

import hashlib
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray as xr
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.pooled import PooledChoice, PooledEstimate, pooled_estimate
from gmfmsim.evidence.read import PACKAGE_TABLES, Tables, read_tables
from gmfmsim.evidence.readings import ReadingChoice, read_contrasts
from gmfmsim.evidence.what_if import Supposed, with_supposed
from gmfmsim.faults import Fault, InputError
from gmfmsim.model.curves import CURVES, Curve
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.priors import Fixed
from gmfmsim.spec import Spec, parse
from gmfmsim.trial.design import Analysis, Parallel
from gmfmsim.trial.size import Search

OF_CONTRASTS = {"select", "readings", "what_if"}
"""The keys of [evidence] that concern contrasts."""


class EvidenceSpec(Spec):
    """Where the evidence comes from: contrasts to fit a model to, or one published pooled estimate."""

    tables: str = "package"
    select: Selection | None = None
    readings: ReadingChoice = "average"
    what_if: list[Supposed] = Field(default_factory=list)
    pooled: PooledChoice | None = None

    @model_validator(mode="after")
    def _one_source(self):
        if (self.select is None) == (self.pooled is None):
            raise PydanticCustomError("evidence", "either select (contrasts) or pooled (a published estimate)")
        if self.pooled and self.model_fields_set & OF_CONTRASTS:
            raise PydanticCustomError("evidence", "readings and what_if with select: a published estimate has neither")
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
    def curve(self) -> Curve:
        """The dose-response curve; constant for a published estimate, which has none."""
        return self.model.shape if self.model else CURVES["constant"]

    @property
    def source(self) -> str:
        """The evidence in a few words."""
        if self.published:
            return f"{self.published.row['meta_id']}, as published"
        words = f"{self.contrasts.sizes['contrast']} contrasts of {len(set(self.contrasts['study'].values))} studies"
        several = self.contrasts.sizes.get("reading", 1)
        return words if several == 1 else f"{words}, {several} combinations of readings"

    @property
    def reported(self) -> xr.Dataset | None:
        """The contrasts under the most probable readings of suspect figures: what figures and tables show."""
        several = self.contrasts is not None and "reading" in self.contrasts.dims
        return self.contrasts.isel(reading=0) if several else self.contrasts

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
    def tables_copy(self) -> str | None:
        """Where a result keeps the user's own tables or flat file; None for those of the package."""
        return None if self.plan.evidence.tables == "package" else self.tables.copy_name

    @property
    def model_copy(self) -> str | None:
        """Where a result keeps the user's own model file; None for a shipped model."""
        if self.model_file is None:
            return None
        return f"inputs/model-{hashlib.sha256(self.model_file.read_bytes()).hexdigest()[:8]}.toml"

    @property
    def config(self) -> dict:
        """The plan with every default written out, its own inputs named by their copies in the result."""
        without = {"evidence": OF_CONTRASTS} if self.published else None
        config = self.plan.model_dump(mode="json", exclude_none=True, exclude=without)
        if self.tables_copy:
            config["evidence"]["tables"] = self.tables_copy
        if self.model_copy:
            config["model"]["name"] = self.model_copy
        return config


def _range(values: np.ndarray) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else None


def _outside(value: float, observed: tuple[float, float] | None) -> bool | None:
    return None if observed is None else not observed[0] <= value <= observed[1]


def prepare(raw: dict, path: Path) -> tuple[Prepared | None, list[Fault]]:
    """Read and check one plan: its keys first, then, section by section, what the keys refer to.

    Returns the plan with what it needs, or None, and every fault found. Paths are relative to the folder of `path`.
    """
    plan, faults = parse(Plan, raw, path.name)
    evidence, _ = parse(EvidenceSpec, raw.get("evidence"), path.name)
    choice, _ = parse(ModelChoice, raw.get("model"), path.name)
    tables = contrasts = published = model = None
    try:
        if evidence:
            tables = read_tables(PACKAGE_TABLES if evidence.tables == "package" else path.parent / evidence.tables)
            if evidence.select:
                selected = select_contrasts(tables, evidence.select, path.name)
                if evidence.what_if:
                    selected = with_supposed(selected, tables, evidence.what_if, path.name)
                contrasts = read_contrasts(selected, tables, evidence.readings, path.name)
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
