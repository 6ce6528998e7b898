"""One plan: everything that determines a required n, and the evidence and model it refers to."""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Fixed
from gmfmsim.evidence.contrasts import labelled
from gmfmsim.evidence.covariates import IN_WORDS
from gmfmsim.evidence.joined import PACKAGE
from gmfmsim.evidence.pooled import PooledEstimate
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.files.remembered import Arrays, key_of, remembered
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_models
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.setting import MODIFIERS, reach_words, setting_faults
from gmfmsim.model.structure import alike_controls, hidden_by_pools, not_known, structure
from gmfmsim.model.terms import covariate
from gmfmsim.question.evidence import (
    OF_CONTRASTS,
    Evidence,
    EvidenceSpec,
    Sources,
    as_copied,
    as_list,
    copies_of,
    read_from,
    with_more,
)
from gmfmsim.question.sensitivity import Sensitivity
from gmfmsim.trial.cost import Cost
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.detectable import Detectable, Precision, no_width
from gmfmsim.trial.optimise import Optimise
from gmfmsim.trial.presets import resolve
from gmfmsim.trial.recruitment import Recruitment
from gmfmsim.trial.short import PLAINEST, SOURCE
from gmfmsim.trial.size import Search
from gmfmsim.trial.value import Value, no_worth

DESIGN_REPLICATES = 10_000
"""Trials at each n and scenario of a design where the search does not say: children cost more than two numbers."""

Asked = Field(default=None, exclude_if=lambda value: value is None)
"""A question that a plan may ask beside its required n."""


Seed = Annotated[int, key("of whatever is drawn", example=20261121, ge=0, lt=2**63)]


class Plan(Spec):
    """Everything that determines one required n, and what else is asked: a design names its analyses itself."""

    label: Annotated[str, key("name of the plan", min_length=1, max_length=60)] = "main"
    seed: Seed
    evidence: Annotated[EvidenceSpec, key("where the evidence comes from")]
    model: Annotated[ModelChoice | None, key("which model is fitted to contrasts, or which are averaged over")] = None
    sampler: Annotated[Sampler, key("how a posterior is computed")] = Sampler()
    trial: Annotated[AnyDesign, key("trial that is planned")]
    search: Annotated[Search, key("target, and how n is looked for")]
    sensitivity: Annotated[Sensitivity, key("what moves n")] = Sensitivity()
    detectable: Annotated[Detectable | None, key("asks for the smallest effect that n detects")] = Asked
    precision: Annotated[Precision | None, key("asks for the n of an interval's width")] = Asked
    optimise: Annotated[Optimise | None, key("asks for the best allocation and dose")] = Asked
    by_month: Annotated[
        list[Annotated[float, Field(gt=0, le=120)]] | None,
        key(
            "asks for n with the endpoint at each of these, where it is computed exactly",
            "months",
            example=[6, 12],
            min_length=1,
            max_length=12,
        ),
    ] = Asked
    recruitment: Annotated[Recruitment | None, key("asks how long it takes")] = Asked
    cost: Annotated[Cost | None, key("asks what it costs")] = Asked
    value: Annotated[Value | None, key("asks what it is worth, to which n and dose it pays")] = Asked

    @model_validator(mode="after")
    def _fits_the_trial(self):
        if self.optimise and (len(self.trial.arms) != 2 or self.trial.kind != "parallel"):
            raise PydanticCustomError("optimise", "[optimise] with a parallel trial of two arms")
        if self.precision and (words := no_width(self.trial)):
            raise PydanticCustomError("precision", "[precision] with {words}", {"words": words})
        if self.evidence.pooled and not self.trial.two_arms_one_test:
            words = "evidence.select with simulated children, who are in GMFM-66 points"
            raise PydanticCustomError("evidence", words)
        return self

    @model_validator(mode="after")
    def _costs_that_can_be_counted(self):
        if self.cost and not self.recruitment and (lost := self.cost.without_recruitment):
            words = "[cost] {lost} with [recruitment], which says how many and how long"
            raise PydanticCustomError("cost", words, {"lost": ", ".join(lost)})
        return self

    @model_validator(mode="after")
    def _model_for_contrasts(self):
        if (self.model is None) == (self.evidence.pooled is None):
            raise PydanticCustomError("model", "a [model] with evidence.select, and none with evidence.pooled")
        return self


OF_EVIDENCE = {"evidence", "model", "sampler", "sensitivity"}
"""The sections of a plan that decide, with setting and month of its trial, whether evidence and models fit it."""


@cache
def _made_by() -> str:
    """Return the name of the code that reads evidence and fits models, with the tables that it brings along."""
    rooms = (Path(__file__).parents[1] / room for room in ("compute", "dist", "evidence", "model", "question"))
    code = [path for room in rooms for path in room.rglob("*") if path.suffix in (".py", ".csv")]
    return key_of((), {}, packages=("numpy", "scipy", "numba"), code=code)


@dataclass(frozen=True)
class Prepared:
    """A plan with everything checked that it needs: contrasts and models, or a published estimate.

    models: by the name the plan gives them, one or those averaged over; model_files: the user's own among them.
    reading: reads the evidence, once it is asked for. digest: SHA-256 of the files that it comes from, under which is
    remembered what follows from it; None where nothing is.
    """

    plan: Plan
    models: dict[str, ModelSpec]
    model_files: dict[str, Path]
    reading: Callable[[], Evidence]
    digest: str | None = None

    @cached_property
    def evidence(self) -> Evidence:
        """The tables, and the contrasts or the published estimate."""
        return self.reading()

    @property
    def tables(self) -> Tables:
        """The tables that the evidence comes from."""
        return self.evidence.tables

    @property
    def contrasts(self) -> xr.Dataset | None:
        """The contrasts that models are fitted to; None where a published estimate is taken."""
        return self.evidence.contrasts if self.plan.model else None

    @property
    def published(self) -> PooledEstimate | None:
        """The published estimate that is taken; None where models are fitted to contrasts."""
        return None if self.plan.model else self.evidence.published

    def recalled(self, what: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return what follows from evidence and models for the setting of the trial: computed, or as remembered."""
        if self.digest is None:
            return compute()
        trial, asked = self.plan.trial, self.plan.model_dump_json(include=OF_EVIDENCE)
        models = [model.model_dump_json() for model in self.models.values()]
        said = [what, _made_by(), self.digest, asked, *models, trial.setting.model_dump_json(), str(trial.month)]
        return remembered(key_of(said, {}, packages=(), code=()), compute)

    @cached_property
    def source(self) -> str:
        """The evidence in a few words."""
        return str(self.recalled("source", lambda: {"source": np.array(self.evidence.in_words)})["source"])

    @cached_property
    def refused(self) -> bool:
        """Whether the exact engine cannot fit one of the models to the contrasts."""

        def found() -> Arrays:
            from gmfmsim.model.exact import refusal  # compiled code: loaded only where it is needed

            return {"refused": np.array(any(refusal(model, self.contrasts) for model in self.models.values()))}

        return bool(self.recalled("refused", found)["refused"])

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
    def uses_dose(self) -> bool:
        """Whether the effect depends on the dose in any of the models."""
        return any(model.shape.uses_dose for model in self.models.values())

    @property
    def uses_month(self) -> bool:
        """Whether the effect depends on the month in any of the models."""
        return self.has_course or any("months" in model.terms for model in self.models.values())

    @property
    def has_course(self) -> bool:
        """Whether the effect goes with time in any of the models."""
        return any("course" in model.terms for model in self.models.values())

    @property
    def model_title(self) -> str:
        """The model in a few words."""
        titles = [model.title for model in self.models.values()]
        if len(titles) < 2:
            return titles[0] if titles else "Published pooled estimate, no model fitted"
        return f"Average of {len(titles)} models: " + "; ".join(titles)

    @property
    def places(self) -> list[str]:
        """Where each contrast stands, "contrasts.csv row 18"; "" of one that stands in no row."""
        if self.contrasts is None:
            return []
        rows = zip(self.contrasts["file"].values.tolist(), self.contrasts["row"].values.tolist(), strict=True)
        return [f"{file} row {row}" if file else "" for file, row in rows]

    @property
    def beside(self) -> list[str]:
        """What is taken of each source beside the shipped tables, a sentence each; nothing of one source alone."""
        found, taken = [], set(self.places)
        for name, part in zip(as_list(self.plan.evidence.tables), self.tables.parts, strict=False):
            if name != PACKAGE and self.contrasts is not None:
                rows = {f"{r['file']} row {r['row']}": r for r in part.rows["contrasts"]}
                left = [f"{labelled(row)} ({place})" for place, row in rows.items() if place not in taken]
                words = f"{len(rows) - len(left)} of {len(rows)} contrasts of {Path(name).name} are taken"
                found.append(words + (f"; not taken: {', '.join(left)}." if left else "."))
        return found

    @property
    def notes(self) -> list[str]:
        """What has to be known of the evidence as it was taken, and of what it leaves unknown, a sentence each."""
        attrs, found = {} if self.contrasts is None else self.contrasts.attrs, self.beside
        if "field_of_sds" in attrs:
            found.append(
                "SDs that are not known are distributed as in the evidence shipped with the package: too few trials of "
                "these tables print one about that month."
            )
        if "pool" in attrs:
            stands = f"{attrs['pool']} stands in place of the trials that it {attrs['pool_holds']}, as held.csv says"
            left = f"left out, with what shares their controls: {attrs['in_pool']}" if attrs["in_pool"] else "none here"
            found.append(f"{stands}; {left}.")
        modifiers = dict.fromkeys(term for model in self.models.values() for term in model.terms if term in MODIFIERS)
        found += [reach_words(self.contrasts, term, self.plan.trial.setting) for term in modifiers]
        if "left_out" in attrs:
            found.append(f"Selected but not taken: {attrs['left_out']}.")
        for name, model in self.models.items():
            if any(not prior.proper or prior.tail < math.inf for prior in model.priors.values()):
                from gmfmsim.model.exact import missing_moments, orders  # compiled code: loaded where it is needed

                lost = missing_moments(orders(structure(model, self.contrasts)))
                found += lost if len(self.models) == 1 else [f"{name}: {line}" for line in lost]
        return found

    @property
    def reported(self) -> xr.Dataset | None:
        """The contrasts under the most probable readings of suspect figures: what figures and tables show."""
        return None if self.contrasts is None else self.contrasts.isel(reading=0)

    @property
    def observed_doses(self) -> tuple[float, float] | None:
        """The lowest and highest known dose of the contrasts, in cells/kg; of those with the cells of the trial."""
        if self.contrasts is None or "pool" in self.contrasts.attrs:  # nobody printed the doses of its children
            return None
        return self._of_its_cells("dose")

    @property
    def observed_infusions(self) -> tuple[float, float] | None:
        """The fewest and most infusions of the contrasts, as `observed_doses`."""
        return None if self.contrasts is None else self._of_its_cells("infusions")

    def _of_its_cells(self, name: str) -> tuple[float, float] | None:
        """Return the range of a covariate over the contrasts, or over those with the cells of the trial."""
        cells, values = self.plan.trial.setting.cell_class, self.contrasts[name].values
        return _range(values[self.contrasts["cell_class"].values == cells] if cells else values)

    @property
    def observed_months(self) -> tuple[float, float] | None:
        """The first and last month of the contrasts."""
        return _range(self.contrasts["month"].values) if self.contrasts is not None else None

    @property
    def dose_outside_evidence(self) -> bool | None:
        """Whether the dose of the trial lies outside the doses studied; None where those are not known."""
        return _outside(self.plan.trial.active.dose, self.observed_doses)

    @property
    def infusions_outside_evidence(self) -> bool | None:
        """Whether the trial has another number of infusions than studied, where a model asks; None where not known."""
        several, asked = self.plan.trial.setting.infusions, any("infusions" in m.terms for m in self.models.values())
        return _outside(several, self.observed_infusions) if several and asked else None

    @property
    def month_outside_evidence(self) -> bool | None:
        """Whether the month of the trial lies outside the months studied; None where those are not known."""
        return _outside(self.plan.trial.month, self.observed_months)

    @property
    def tables_copies(self) -> dict[str, Tables]:
        """The user's own tables and flat files, by where a result keeps a copy of them."""
        return copies_of(self.plan.evidence.tables, self.tables)

    @property
    def model_copies(self) -> dict[str, str]:
        """Where a result keeps the user's own model files, by the name the plan gives them."""
        return {
            name: f"inputs/model-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.toml"
            for name, path in self.model_files.items()
        }

    @property
    def config(self) -> dict:
        """The plan with every default written out, its own inputs named by their copies in the result."""
        without = {"evidence": OF_CONTRASTS} if self.published else None
        config = self.plan.model_dump(mode="json", exclude_none=True, exclude=without)
        config["evidence"]["tables"] = as_copied(self.plan.evidence.tables, self.tables)
        if copies := self.model_copies:
            names = [copies.get(name, name) for name in self.models]
            config["model"] |= {"average": names} if self.plan.model.average else {"name": names[0]}
            if weights := self.plan.model.prior_weights:
                config["model"]["prior_weights"] = {copies.get(name, name): w for name, w in weights.items()}
        return config

    @property
    def identity(self) -> dict:
        """What the key of a result counts of a plan: tables and models by what they hold, not by where they stand."""
        return (
            self.plan.model_dump(mode="json", exclude={"evidence": {"tables"}, "model": True})
            | {
                "models": [m.model_dump(mode="json") for m in self.models.values()],
                "weights": self.plan.model and self.plan.model.weights,
                "prior_weights": self.plan.model and [self.plan.model.prior_weight(name) for name in self.models],
            }
            | read_from(self.tables)
            | ({"held": self.tables.apart} if self.plan.evidence.individual_data else {})
        )


def _range(values: np.ndarray) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else None


def _outside(value: float, observed: tuple[float, float] | None) -> bool | None:
    return None if observed is None else not observed[0] <= value <= observed[1]


def prepare(raw: dict, sources: Sources) -> tuple[Prepared | None, list[Fault]]:
    """Read and check one plan: its keys first, then, section by section, what the keys refer to.

    Returns the plan with what it needs, or None, and every fault found. Paths are relative to the experiment file.
    """
    path = sources.path
    raw, of_design = _with_design(raw, path)
    plan, faults = parse(Plan, raw, path.name)
    if of_design:
        plan, faults = None, of_design + [f for f in faults if not f.where.startswith("key trial")]
    spec, _ = parse(EvidenceSpec, raw.get("evidence"), path.name)
    choice, _ = parse(ModelChoice, raw.get("model"), path.name)
    models, of_models = {}, ()
    try:
        models = read_models(choice, beside=path.parent, file=path.name) if choice else {}
    except InputError as error:
        of_models = error.faults

    def faultless() -> Arrays:
        evidence, found = sources.evidence(spec) if spec else (Evidence(), [])
        if found := [*found, *of_models, *_evidence_faults(plan, evidence, models, sources)]:
            raise InputError(found)
        return {"source": np.array(evidence.in_words)} if plan else {}

    prepared = None
    try:
        if plan and not of_models:
            own = {name: (path.parent / name).resolve() for name in models if name.endswith(".toml")}
            digest = sources.digest(plan.evidence.tables) if models else None
            prepared = Prepared(plan, models, own, lambda: sources.evidence(plan.evidence)[0], digest)
            prepared.recalled("source", faultless)
        else:
            faultless()
    except InputError as error:
        faults += [f for f in error.faults if f not in faults]
    faults += _size_faults(plan, path.name) + _value_faults(plan, models, path.name) if plan else []
    if prepared and plan.value and not faults:
        faults += _unknown_value(prepared, path.name)
    return (None, faults) if faults else (prepared, [])


def _evidence_faults(
    plan: Plan | None, evidence: Evidence, models: Mapping[str, ModelSpec], sources: Sources
) -> list[Fault]:
    """Return what is wrong with the evidence for models and plan, as far as each could be read."""
    faults, contrasts, file = [], evidence.contrasts, sources.path.name
    if plan and plan.by_month and not any("course" in model.terms for model in models.values()):
        allowed = "by_month with a model that has the term course, such as course"
        faults.append(Fault(file, "key by_month", "no model says how the effect goes with time", allowed))
    for model in models.values() if contrasts is not None else ():
        found = silent_faults(model, contrasts, file)
        if plan:
            found += setting_faults(model, contrasts, plan.trial.setting, plan.trial.month, file)
            found += _engine_faults(plan, model, contrasts, file) if not found else []
        faults += [f for f in found if f not in faults]
    if plan and evidence.published:
        faults += _unit_faults(plan, evidence.published, file)
    return faults + (_supposed_faults(plan, sources) if plan and contrasts is not None else [])


def _with_design(raw: dict, path: Path) -> tuple[dict, list[Fault]]:
    """Return a plan whose trial is written out, with all that its files and its short form say, and the faults.

    [analysis] is the short way to say the one analysis of a design, and alpha. Where children cost more than two
    numbers there are fewer replicates by default. A trial without faults is returned as the design that it is.
    """
    trial, analysis = raw.get("trial"), raw.get("analysis")
    rest = {k: v for k, v in raw.items() if k != "analysis"}
    if not isinstance(trial, dict):
        return rest, []
    trial = trial if {"design", "kind"} & trial.keys() else {"design": PLAINEST} | trial
    try:
        whole = resolve(trial, path.parent, path.name)
    except InputError as error:
        return rest, [f.inside("trial", "trial") if f.file == path.name else f for f in error.faults]
    if isinstance(name := whole.get("design"), str):  # a file counts by what it holds, not by where it stands
        whole = whole | {"design": Path(name).name}
    if isinstance(analysis, dict):
        one = {k: v for k, v in analysis.items() if k != "alpha"}
        if one and "analyses" in trial:
            problem, allowed = "says what trial.analyses says too", "one of them; of the other, alpha alone"
            return rest, [Fault(path.name, "key analysis", problem, allowed)]
        if one.get("method") == "z" and whole.get("design") == PLAINEST:
            one = {"sd": "known"} | one
        whole |= {"analyses": [one]} if one else {}
        whole |= {"alpha": analysis["alpha"]} if "alpha" in analysis else {}
    elif analysis is not None:
        return rest, [Fault(path.name, "key analysis", f"{shown(analysis)} is not allowed", "a table: method, alpha")]
    design, faults = parse(AnyDesign, whole, path.name)
    if design is None:
        return rest, [_of_analysis(f.inside("trial", "trial"), analysis) for f in faults]
    search = raw.get("search")
    if isinstance(search, dict) and not design.two_arms_one_test:
        rest |= {"search": {"replicates": DESIGN_REPLICATES} | search}
    return rest | {"trial": design}, []


def _of_analysis(fault: Fault, analysis: dict | None) -> Fault:
    """Say that a fault of the one analysis, or of alpha, stands in [analysis]."""
    if not analysis:
        return fault
    if fault.where == "key trial.alpha" and "alpha" in analysis:
        return replace(fault, where="key analysis.alpha")
    where = fault.where.replace("key trial.analyses.0", "key analysis")
    return replace(fault, where="key analysis.method" if where == "key analysis" else where)


def _engine_faults(plan: Plan, model: ModelSpec, contrasts: xr.Dataset, file: str) -> list[Fault]:
    """Return why the engine that a plan needs cannot fit a model."""
    improper = [name for name, prior in model.priors.items() if not prior.proper]
    averaged = plan.model.average and plan.model.weights == "posterior"
    if not (plan.sampler.engine == "exact" or averaged or improper):
        return []
    from gmfmsim.model.exact import refusal  # compiled code: loaded only where it is needed

    why_not = refusal(model, contrasts)
    if improper and (why_not or plan.sampler.engine == "nuts"):
        because = why_not or "the nuts engine samples no such prior"
        problem = f"the prior of {', '.join(improper)} is improper: {because}"
        return [Fault(file, "key model.priors", problem, "proper priors, or the exact engine")]
    if improper and averaged:
        problem = f"the prior of {', '.join(improper)} is improper: it leaves no marginal likelihood to weigh models by"
        return [Fault(file, "key model.weights", problem, 'proper priors, or "stacking"')]
    if why_not and plan.sampler.engine == "exact":
        return [Fault(file, "key sampler.engine", why_not, '"auto" or "nuts"')]
    if why_not and averaged:
        return [Fault(file, "key model.weights", f"no marginal likelihood: {why_not}", '"stacking"')]
    return []


def _size_faults(plan: Plan, file: str) -> list[Fault]:
    """Return why a trial cannot have an n that the plan asks about, or none that its search may look at."""
    trial, faults, asked = plan.trial, [], plan.detectable
    units = f"multiples of {trial.step} (whole clusters) from {trial.fewest} on"
    if plan.search.max_n_per_arm < trial.fewest:
        problem = f"{plan.search.max_n_per_arm} is less than the smallest n of the trial"
        faults.append(Fault(file, "key search.max_n_per_arm", problem, f"at least {trial.fewest}: {units}"))
    if asked and trial.at_most(asked.n_per_arm) != asked.n_per_arm:
        problem = f"{asked.n_per_arm} is no n of the trial"
        allowed = f"{units}; nearest: {trial.in_words(asked.n_per_arm)}"
        faults.append(Fault(file, "key detectable.n_per_arm", problem, allowed))
    return faults


def _value_faults(plan: Plan, models: Mapping[str, ModelSpec], file: str) -> list[Fault]:
    """Return why what a trial is worth cannot be said, as far as the plan and its models tell."""
    trial, asked, faults = plan.trial, plan.value, []
    if asked is None:
        return faults
    if why := no_worth(trial):
        allowed = "a control group, no looks, and a primary analysis in points with a known error, such as t or ancova"
        faults.append(Fault(file, "key value", f"what the trial is worth is not known: {why}", allowed))
    if plan.cost and asked.currency not in (None, plan.cost.currency):
        problem = f"{shown(asked.currency)} is not that of [cost]"
        faults.append(Fault(file, "key value.currency", problem, f"{plan.cost.currency}: one currency"))
    fewest = trial.total(trial.fewest)
    if few := [n for n in asked.n or () if n < fewest]:
        problem = f"{', '.join(map(str, few))} are too few children"
        faults.append(Fault(file, "key value.n", problem, f"at least {fewest} in all"))
    if asked.doses and not any(model.shape.uses_dose for model in models.values()):
        problem = "no model tells doses apart"
        allowed = "a model with a curve of dose, such as emax; or no doses"
        faults.append(Fault(file, "key value.doses", problem, allowed))
    if plan.sampler.engine == "nuts":
        allowed = 'sampler.engine "auto" or "exact"'
        faults.append(Fault(file, "key value", "it follows from exact posteriors, and this one is sampled", allowed))
    return faults


def _unknown_value(prepared: Prepared, file: str) -> list[Fault]:
    """Return why the evidence, as models or a published estimate have it, does not say what a trial is worth."""
    if prepared.published and prepared.unit != "GMFM-66 points":
        problem = f"the published effect is in {prepared.unit}"
        return [Fault(file, "key value", problem, "an effect in GMFM-66 points, which benefit is counted in")]
    if prepared.models and prepared.refused:
        allowed = "models that the exact engine fits (gmfmsim show model NAME says why one is not)"
        return [Fault(file, "key value", "it follows from exact posteriors, and a model has to be sampled", allowed)]
    return []


def _supposed_faults(plan: Plan, sources: Sources) -> list[Fault]:
    """Return why a result that is supposed to say what moves n cannot stand beside the contrasts."""
    faults, last = [], len(plan.evidence.what_if)
    for i, one in enumerate(plan.sensitivity.supposed):
        _, found = sources.evidence(with_more(plan.evidence, one))
        where = f"key sensitivity.supposed.{i}"
        faults += [replace(f, where=f.where.replace(f"key evidence.what_if.{last}", where)) for f in found]
    return faults


def _unit_faults(plan: Plan, published: PooledEstimate, file: str) -> list[Fault]:
    """Return a fault where the SD of a trial is not in the unit of a published effect."""
    sd, given = plan.trial.sd_change, plan.trial.children.excess_sd.source == SOURCE["source"]
    if published.unit == "standard deviations" and not (isinstance(sd, Fixed) and sd.value == 1):
        problem = f"{sd if given else 'the default in points'} does not fit an effect in standard deviations"
        return [Fault(file, "key trial.sd_change", problem, '{ dist = "fixed", value = 1 }')]
    return []


def silent_faults(model: ModelSpec, contrasts: xr.Dataset, file: str) -> list[Fault]:
    """Return the contrasts of which a model can make nothing: something unknown, or the same effect in both arms."""
    where, curve = "key evidence.select", model.shape
    faults = []
    for what, names in not_known(model, contrasts):
        one, several = IN_WORDS[what.removeprefix("the ").replace(" ", "_")]
        needs = f"curve {model.curve}" if what == "the dose" else "the model"
        problem = f"no {one} is known for {', '.join(names)}"
        faults.append(Fault(file, where, problem, f"contrasts with known {several}, which {needs} needs"))
    if reason := hidden_by_pools(model, contrasts):
        allowed = "normal study effects, and no prior or term of the trials' errors; or the trials in place of the pool"
        faults.append(Fault(file, "key evidence.individual_data", reason, allowed))
    if reason := alike_controls(model, contrasts):
        allowed = "one control arm for each study, or a model with the term epo, of which one control had it"
        faults.append(Fault(file, "key evidence.network", reason, allowed))
    epo = covariate(contrasts, "epo") if "epo" in model.terms else np.zeros(contrasts.sizes["contrast"])
    if "epo" in model.terms and not epo.any():
        problem = "no contrast tells of erythropoietin: both of its arms had it, or neither"
        faults.append(Fault(file, where, problem, "a contrast of which one arm alone had it, or a model without epo"))
    dose, control = contrasts["dose"].values, contrasts["control_dose"].values
    alike = ((dose == control) & (epo == 0)) | (~np.bool(curve.uses_dose) & (control != 0))
    if alike.any():
        problem = f"under curve {model.curve} both arms are alike in {', '.join(contrasts['contrast'].values[alike])}"
        faults.append(Fault(file, where, problem, "contrasts between arms that the curve tells apart"))
    return faults
