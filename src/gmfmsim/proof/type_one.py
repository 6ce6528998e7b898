"""The record of type I errors: every shipped design with each of its analyses on the border of its claim."""

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.posterior import fitted_models
from gmfmsim.compute.executors import in_order
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.progress import Silent
from gmfmsim.proof.record import origin, read_record, write_record
from gmfmsim.question.question import question_of_design
from gmfmsim.trial.analyse.spec import AnalysisSpec
from gmfmsim.trial.analyses import AnyAnalysis, Bayes, Historical
from gmfmsim.trial.design import Design, Objective
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.nuisance import border
from gmfmsim.trial.operate import engine_of, limit, operate
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.simulate import simulate

RECORD = "type_one.json"
SEED = 20261121
REPLICATES = 40_000
"""Trials of each design: a false-claim rate of 2.5 % is known to 0.08 %."""

CHILDREN_PER_ARM = {"equivalence": 300}
"""Where not 60: below some n an equivalence trial can claim nothing, and its error is 0 and says nothing."""

PACKAGES = ("numpy", "scipy", "numba")
WORDS = ("design", "title", "source", "verified")
"""Keys of a design that say nothing about its trials."""


def record_type_one(
    out: Path,
    designs: Iterable[str] | None = None,
    *,
    replicates: int = REPLICATES,
    workers: int = 1,
    progress: Silent | None = None,
) -> dict:
    """Simulate designs (all shipped ones by default) without effect, put the rates into the record in `out`, return it.

    Figures do not depend on the number of workers (processes). A design that the record holds already is replaced.

    Raises InputError for unknown designs.
    """
    designs, progress = list(designs or names("designs")), progress or Silent()
    faults = []
    for name in designs:
        try:
            read_design(name)
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    record, entry = read_record(out / RECORD), partial(entry_of, replicates=replicates)
    with progress.steps("type I error", total=len(designs)) as step:
        for name, found in zip(designs, in_order(entry, designs, "processes", workers), strict=True):
            record[name] = found
            progress.stage(name)
            step()
    write_record(out / RECORD, record)
    return read_record(out / RECORD)


def design_hash(design: Design) -> str:
    """Return the SHA-256 of what a design says, without its name, titles and the words of its sources."""
    said = json.dumps(_without_words(design.model_dump(mode="json")), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def entry_of(name: str, replicates: int = REPLICATES) -> dict:
    """Return what the record says of one design: false claims of each analysis, nominal alpha / 2.

    The trial has 60 children per arm (300 where the claim is equivalence). type_one: every child has the effect on the
    border of the claim (superiority: none), and no scale ends to cut it off. as_declared: children respond as the
    design says, so that only the mean of their effects is on the border; then losses that depend on the scores, the
    ends of the scale and unequal variances may move the rate.

    nominal is None where an analysis does not promise it: natural history with another allowance than volunteers gain,
    historical children, whose mean is another one than that of the simulated children, and an informative prior. A
    prior that is the evidence is that of `gmfmsim simulate`.
    """
    design = read_design(name)
    n = design.at_least(CHILDREN_PER_ARM.get(design.objective.claim, 60))
    known = design.model_copy(update={"analyses": _informed(name, design)})
    sharp = _all_on_the_border(known)
    found, as_declared = (_claims(d, n, replicates) for d in (sharp, known))
    rows = [
        {
            "analysis": analysis.label,
            "type_one": round(found["success"].values[i], 6),
            "mcse": round(found["success_mcse"].values[i], 6),
            "failed": round(found["failed"].values[i], 6),
            "nominal": design.alpha / 2 if _promises(design, analysis) else None,
            "as_declared": round(as_declared["success"].values[i], 6),
            "as_declared_mcse": round(as_declared["success_mcse"].values[i], 6),
        }
        for i, analysis in enumerate(design.analyses)
    ]
    about = {"design_sha256": design_hash(design), "kind": design.kind, "engine": engine_of(design, "sufficient")}
    return about | origin(SEED, PACKAGES) | {"n_per_arm": n, "replicates": replicates, "analyses": rows}


def _informed(name: str, design: Design) -> list[AnyAnalysis]:
    """Return the analyses of a design, those that take the evidence as prior with what it says."""
    if not any(isinstance(a, Bayes) and a.open for a in design.analyses):
        return design.analyses
    (prepared,) = question_of_design(name).plans
    sizing = sizing_of(prepared, lambda: fitted_models(prepared, {}, Silent()))
    return sizing.prepared.plan.trial.analyses


def _claims(design: Design, n: int, replicates: int) -> xr.Dataset:
    """Return how often each analysis (analysis) makes its claim on the border of it."""
    truths = fixed_truths(design, border(design), replicates, SEED)
    if design.looks:  # arms of 60 keep children enough at every look: no trial fails
        found = simulate(truths, design, n=[n], seed=SEED).isel(scenario=0, n=0)
        return found.assign(failed=xr.zeros_like(found["success"]))
    return operate(truths, design, n=[n], seed=SEED).isel(scenario=0, n=0)


def _all_on_the_border(design: Design) -> Design:
    """Return the design with the same effect in every child, on a scale without ends."""
    ends = {"response_sd": 0.0, "floor": -np.inf, "ceiling": np.inf}
    known = {"response": [1.0] * 5} | ends if design.children.kind == "population" else {"response_sd": 0.0}
    changes = {
        name: getattr(design.children, name).model_copy(update={"value": value, "low": None, "high": None})
        for name, value in known.items()
    }
    return design.model_copy(update={"children": design.children.model_copy(update=changes)})


def _promises(design: Design, analysis: AnalysisSpec) -> bool:
    """Whether an analysis promises the nominal rate: what it estimates tends to the effect."""
    if isinstance(analysis, Historical) or (isinstance(analysis, Bayes) and analysis.prior != "flat"):
        return False
    alone = design.model_copy(update={"analyses": [analysis], "objective": Objective()})
    return limit(alone, np.zeros((len(design.arms), 1)), SEED).item() == design.alpha / 2


def _without_words(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_words(v) for k, v in value.items() if k not in WORDS}
    return [_without_words(v) for v in value] if isinstance(value, list) else value
