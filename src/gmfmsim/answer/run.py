"""The main path: from an experiment to a folder with its answer."""

import json
import shutil
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import tomli_w

from gmfmsim.answer.past import Past, is_past, past_answer, read_past, replan
from gmfmsim.answer.rerun import Replication, is_replication, read_replication, write_result
from gmfmsim.answer.result import PlanResult, answer
from gmfmsim.answer.sensitivity import checks_of, effects_of, kept_of, truths_of, under_readings
from gmfmsim.evidence.read import copy_tables
from gmfmsim.faults import GateFailed
from gmfmsim.files import store
from gmfmsim.model.average import Member, shares_of
from gmfmsim.model.effect import dose_response
from gmfmsim.model.engine import fit
from gmfmsim.model.published import Published
from gmfmsim.progress import Silent
from gmfmsim.question.experiment import Experiment, experiment_of_design, provenance, read_experiment
from gmfmsim.question.plan import Prepared
from gmfmsim.trial import nuisance
from gmfmsim.trial.designs import Design
from gmfmsim.trial.detectable import n_for_width, smallest_effect
from gmfmsim.trial.optimise import allocations
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import RequiredN, required_n

SECOND_TARGET_ACCEPT = 0.998
"""Acceptance aimed at when a first fit fails the gate: smaller steps, which a funnel at small tau may need."""

NUISANCE_REPLICATES = 4_000
"""Trials of a design at each nuisance setting: a false-claim rate of 2.5 % is known to 0.25 %."""

PACKAGES = ("numpy", "scipy", "xarray", "pymc", "pytensor", "nutpie", "arviz", "matplotlib", "h5netcdf", "pydantic")


@dataclass(frozen=True)
class Result:
    """What a run leaves: the answer as in answer.json, and the folder with everything else."""

    answer: dict
    folder: Path
    reused: bool

    @property
    def report(self) -> Path:
        """The self-contained report page."""
        return self.folder / "report.html"


def run(name: str, results: str | Path = "results", *, progress: Silent | None = None) -> Result:
    """Run an experiment (a shipped name or the path of a .toml file) and return its result.

    A plan: fits the model, passes the gate, simulates trials at the truths, finds the required n. A replication:
    computes the figures of a review again. Writes results/<experiment>/<key>/; a complete result with the same key is
    returned as it stands.

    Raises InputError for faults in the inputs and GateFailed if a posterior cannot be trusted; then nothing is
    written.
    """
    read = read_replication if is_replication(name) else read_past if is_past(name) else read_experiment
    return _run(read(name), Path(results), progress or Silent())


def simulate_design(name: str, results: str | Path = "results", *, progress: Silent | None = None) -> Result:
    """Run a design (a shipped name or the path of a .toml file) on the evidence of the quick start.

    Writes results/design-<name>/<key>/ with a page of the design: protocol, children, operating characteristics and
    required n. Raises as `run`.
    """
    return _run(experiment_of_design(name), Path(results), progress or Silent())


def _run(experiment: Experiment | Replication | Past, results: Path, progress: Silent) -> Result:
    """Return the result of an experiment, computed unless it is there."""
    folder = results / experiment.name / experiment.key
    store.sweep(folder.parent)
    reused = store.is_complete(folder)
    if not reused:
        with store.writing(folder) as draft:
            compute = {Replication: write_result, Past: _compute_past}.get(type(experiment), _compute)
            compute(experiment, draft, progress)
    return Result(json.loads((folder / "answer.json").read_text(encoding="utf-8")), folder, reused)


def _compute(experiment: Experiment, draft: Path, progress: Silent) -> None:
    """Compute every plan of the experiment and write the result into the draft folder."""
    from gmfmsim.report.page import write_report

    started = time.perf_counter()
    fits: dict[tuple[str, str], Member] = {}
    plan_results = [_find(prepared, fits, progress) for prepared in experiment.plans]
    progress.stage("report: figures and page")
    for prepared in experiment.plans:
        _copy_own_inputs(prepared, draft)
    (draft / "config.toml").write_text(tomli_w.dumps(experiment.config), encoding="utf-8")
    store.write_json(draft / "answer.json", answer(experiment, plan_results))
    for i, plan_result in enumerate(plan_results):
        place = draft / plan_result.folder(i)
        place.mkdir(parents=True, exist_ok=True)
        for (name, member), found in zip_longest(plan_result.files().items(), plan_result.checks):
            kept_of(plan_result.prepared, member, found).to_netcdf(place / name, engine="h5netcdf")
        plan_result.surface.to_netcdf(place / "surface.nc", engine="h5netcdf")
    write_report(draft, experiment, plan_results)
    store.write_manifest(draft, _manifest(experiment, plan_results, time.perf_counter() - started))


def _compute_past(past: Past, draft: Path, progress: Silent) -> None:
    """Compute what the trials of the evidence could have shown and write the result into the draft folder."""
    from gmfmsim.report.past import past_page

    started = time.perf_counter()
    fits: dict[tuple[str, str], Member] = {}
    posteriors = [posterior_of(prepared, fits, progress) for prepared in past.trials]
    with progress.steps("trials as they were run", len(past.trials)) as advance:
        data = replan(past, posteriors, advance)
    _copy_own_inputs(past.trials[0], draft)
    (draft / "config.toml").write_text(tomli_w.dumps(past.config), encoding="utf-8")
    found = past_answer(past, data)
    store.write_json(draft / "answer.json", found)
    data.to_netcdf(draft / "past.nc", engine="h5netcdf")
    past_page(draft, data, truth=past.section.effect)
    store.write_manifest(draft, provenance(past, PACKAGES, time.perf_counter() - started))


def _copy_own_inputs(prepared: Prepared, draft: Path) -> None:
    """Copy a user's own tables and model, so that the result can be run again wherever it goes."""
    if prepared.tables_copy:
        copy_tables(prepared.tables, draft / prepared.tables_copy)
    for name, copy in prepared.model_copies.items():
        (draft / copy).parent.mkdir(exist_ok=True)
        shutil.copyfile(prepared.model_files[name], draft / copy)


def _find(prepared: Prepared, fits: dict, progress: Silent) -> PlanResult:
    """Go the whole way for one plan: posterior, gate, truths, required n, surface."""
    plan, timings, mark = prepared.plan, {}, time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal mark
        now = time.perf_counter()
        timings[stage] = round(now - mark, 3)
        mark = now

    members = posterior_of(prepared, fits, progress)
    lap("posterior")
    effects = effects_of(prepared, members)
    truth = truths_of(prepared, effects)
    progress.stage(f"{plan.label}: simulating {truth.sizes['draw']:,} trials at each n")
    with progress.steps("search for n") as advance:
        required = required_n(truth, plan.trial, plan.analysis, plan.search, seed=plan.seed, advance=advance)
    lap("search")
    design = plan.trial if isinstance(plan.trial, Design) else None
    grid = design_grid(design, required) if design else curve_grid(required)
    with progress.steps("power and assurance curves", None if design else len(grid) * truth.attrs["rounds"]) as advance:
        surface = simulate(truth, plan.trial, plan.analysis, n=grid, seed=plan.seed, advance=advance)
    lap("curves")
    active = plan.trial.active
    effect = dose_response(effects.sel(arm=[active.name]), np.array([active.dose]), plan.seed)
    band = None
    if prepared.uses_dose:
        low, high = prepared.observed_doses
        reach = np.geomspace(min(low, active.dose) / 3, max(high, active.dose) * 3, 121)
        doses = {f"{dose:.6g}": dose for dose in reach.tolist()}
        band = dose_response(effects_of(prepared, members, doses), reach, plan.seed)
    lap("effects")
    with progress.steps("readings of suspect figures") as advance:
        readings = under_readings(prepared, members, effects, required, advance)
    lap("readings")
    progress.stage(f"{plan.label}: checks")
    checked = [checks_of(prepared, m) for m in members if m.fit]
    lap("checks")
    asked = asked_of(prepared, members, progress)
    type_one = None
    if design:
        with progress.steps("type I error over nuisance settings") as advance:
            at = required.reference_n or grid[-1]
            type_one = nuisance.type_one(design, at, replicates=NUISANCE_REPLICATES, seed=plan.seed, advance=advance)
    lap("asked")
    figures = (required, surface, effect, band, readings, checked, timings, asked, type_one)
    return PlanResult(prepared, members, *figures)


def asked_of(prepared: Prepared, members: list[Member], progress: Silent) -> dict[str, object]:
    """Return what a plan asks beside its required n: detectable effect, n of a precision, allocation and dose."""
    plan, found = prepared.plan, {}
    effort = {"replicates": plan.search.replicates, "seed": plan.seed}
    with progress.steps("further questions") as advance:
        if plan.detectable:
            how = effort | {"z": plan.search.z, "advance": advance}
            found["detectable"] = smallest_effect(plan.trial, plan.analysis, plan.detectable, **how)
        if plan.precision:
            how = effort | {"z": plan.search.z, "advance": advance, "most": plan.search.max_n_per_arm}
            found["precision"] = n_for_width(plan.trial, plan.precision, **how)
        if plan.optimise:
            found["optimise"] = allocations(
                plan.trial,
                plan.analysis,
                plan.optimise,
                lambda trial: truths_of(prepared, effects_of(prepared, members, {a.name: a.dose for a in trial.arms})),
                seed=plan.seed,
                advance=advance,
            )
    return found


def posterior_of(prepared: Prepared, fits: dict[tuple[str, str], Member], progress: Silent) -> list[Member]:
    """Return the fitted models of a plan with their shares; plans with the same model and evidence share a fit."""
    plan = prepared.plan
    shared = plan.model_dump_json(include={"seed", "evidence", "sampler"})
    if prepared.published:
        name = prepared.published.row["meta_id"]
        progress.stage(f"{plan.label}: {name} taken as published")
        taken = Published(prepared.published)
        return [Member(name, None, None, taken.tree(plan.sampler, plan.seed), 1.0, published=taken)]
    members = []
    for name, spec in prepared.models.items():
        key = shared, spec.model_dump_json()
        if key not in fits:
            fits[key] = _fit_through_gate(prepared, name, progress)
        members.append(fits[key])
    return shares_of(members, prepared.contrasts, plan.model.weights)


def _fit_through_gate(prepared: Prepared, name: str, progress: Silent) -> Member:
    """Fit a model of a plan; where the gate fails, once more with smaller steps, then GateFailed is raised.

    An exact posterior stands where only the sampler that was to check it failed; the answer says so.
    """
    plan, spec = prepared.plan, prepared.models[name]
    progress.stage(f"{plan.label}: fitting {name} to {prepared.source}")
    second = plan.sampler.model_copy(update={"target_accept": max(plan.sampler.target_accept, SECOND_TARGET_ACCEPT)})
    for sampler in dict.fromkeys((plan.sampler, second)):
        found = fit(spec, prepared.contrasts, sampler, plan.seed, progress=progress.bars)
        if found.passed:
            return Member(name, spec, found, found.tree, 1.0)
        failed = ", ".join(row["criterion"] for row in found.gate if not row["passed"])
        said = f"{plan.label}: gate failed ({failed}) at target_accept {sampler.target_accept:g}"
        progress.stage(said + ("; once more with smaller steps" if sampler != second else ""))
    if found.stands:
        return Member(name, spec, found, found.tree, 1.0)
    raise GateFailed(plan.label, found.gate)


def design_grid(design: Design, required: RequiredN) -> list[int]:
    """Return the n at which a design is shown: about the answer, and as it was run; of those that it can have."""
    middle = required.reference_n or design.at_least(100)
    marks = [required.n, required.reference_n, min(design.as_run.values()) if design.as_run else None]
    around = [design.at_least(max(4, round(middle * share))) for share in (0.25, 0.5, 0.75, 1.25, 1.6)]
    return sorted({*around, *(n for n in marks if n)})


def curve_grid(required: RequiredN, points: int = 28) -> list[int]:
    """Return the n at which curves are shown: denser where they are steep, the answer and its interval included."""
    marks = [required.n, required.n_at_95_plateau, *(required.interval or ())]
    known = [n for n in marks if n is not None]
    top = max(2 * (required.reference_n or 100), 100, *(min(n, 3 * (required.reference_n or n)) for n in known or [0]))
    grid = np.round(2 + (top - 2) * np.linspace(0, 1, points) ** 2).astype(int)
    return sorted({*grid.tolist(), *(n for n in known if n <= top)})


def _manifest(experiment: Experiment, plan_results: list[PlanResult], seconds: float) -> dict:
    return provenance(experiment, PACKAGES, seconds) | {
        "plans": [
            {
                "label": f.prepared.plan.label,
                "seed": f.prepared.plan.seed,
                "evidence_sha256": f.prepared.tables.sha256,
                "rows_of_contrasts_csv": []
                if f.prepared.contrasts is None
                else f.prepared.contrasts["row"].values.tolist(),
                "models": [
                    {
                        "name": m.name,
                        "share": m.share,
                        "engine": m.fit.engine if m.fit else "published: independent draws",
                        "exact_refused": m.fit.why_not if m.fit else None,
                        "gate": m.fit.gate if m.fit else [],
                        "engines": m.fit.compared if m.fit else [],
                        "verdict": m.fit.verdict if m.fit else "not fitted",
                    }
                    for m in f.members
                ],
                "replicates": f.surface.attrs["replicates"],
                "seconds": f.seconds,
            }
            for f in plan_results
        ],
    }
