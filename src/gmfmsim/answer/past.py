"""The past, re-planned: what every trial of the evidence could have shown, as it was designed and run."""

import numpy as np
import xarray as xr

from gmfmsim.answer.posterior import posterior_of
from gmfmsim.answer.result import Outcome
from gmfmsim.answer.truths import effects_of, truths_of
from gmfmsim.compute.text import plain
from gmfmsim.faults import shortened
from gmfmsim.model.average import Member
from gmfmsim.progress import Silent
from gmfmsim.question.past import ENOUGH, Past
from gmfmsim.trial.operate import operate, primary_only

FIGURES = {
    "power": ("planning_value", "success"),
    "false_claims": ("null", "success"),
    "assurance": ("new_study", "success"),
    "type_m": ("planning_value", "type_m"),
    "type_s": ("planning_value", "type_s"),
}
"""What is said of each trial: the scenario and the operating characteristic."""

LONGEST_NAME = 40
"""Characters of the name of a trial in tables and figures."""


def replan(past: Past, posteriors: list[list[Member]], advance=lambda: None) -> xr.Dataset:
    """Simulate every trial as it was run and return what its primary analysis could show.

    Returns, with dim trial and an `_mcse` beside each: power at the effect asked for; false_claims, success without an
    effect; assurance in a new study; type_m and type_s, exaggeration and wrong sign of its significant results at that
    effect (Gelman & Carlin 2014). Further n_total, month, kind, controlled (has it an arm without cells?), analysis,
    title.
    """
    rows = []
    for prepared, members in zip(past.plans, posteriors, strict=True):
        design, n = prepared.plan.trial.rerun()
        first, engine = primary_only(design)
        truths = truths_of(prepared, effects_of(prepared, members)).drop_sel(scenario="pooled_mean")
        surface = operate(truths, first, n=[n], seed=prepared.plan.seed, engine=engine).isel(analysis=0, n=0)
        figures = {
            f"{name}{mcse}": surface[f"{of}{mcse}"].sel(scenario=scenario).item()
            for name, (scenario, of) in FIGURES.items()
            for mcse in ("", "_mcse")
        }
        facts = {"n_total": sum(design.as_run.values()), "month": design.month, "kind": design.kind}
        facts |= {"controlled": design.control is not None, "analysis": design.analyses[0].label}
        rows.append(figures | facts | {"title": design.title})
        advance()
    columns = {name: ("trial", np.array([row[name] for row in rows])) for name in rows[0]}
    attrs = {"effect": past.section.effect, "replicates": past.section.replicates, "unit": "GMFM-66 points"}
    titles = [p.plan.trial.title for p in past.plans]
    labels = [shortened(title.split(":")[0].strip() or title, LONGEST_NAME) for title in titles]
    return xr.Dataset(columns, {"trial": labels, "design": ("trial", [p.plan.label for p in past.plans])}, attrs)


def past_outcome(past: Past, progress: Silent) -> Outcome:
    """Plan the trials of the past again: their figures in answer.json, and in past.nc the same labelled."""
    fits: dict[tuple[str, ...], Member] = {}
    posteriors = [posterior_of(prepared, fits, progress) for prepared in past.plans]
    with progress.steps("trials as they were run", len(past.plans)) as advance:
        data = replan(past, posteriors, advance)
    rows = [data.isel(trial=i) for i in range(data.sizes["trial"])]
    trials = [plain({v: row[v].item() for v in ("trial", "design", *data.data_vars)}) for row in rows]
    sentences = past_sentences(data, past.section.effect)
    said = {"effect": past.section.effect, "sentence": " ".join(sentences), "sentences": sentences, "trials": trials}
    return Outcome(said, {"past.nc": data}, {"evidence_sha256": past.plans[0].tables.sha256})


def past_sentences(data: xr.Dataset, effect: float) -> list[str]:
    """Return what the trials could have shown of a gain of `effect` points: those with a control group, then the rest.

    data: as `replan` returns it. The power of a trial that claims a gain without an effect too says nothing, so trials
    without a control group are told by their false claims alone.
    """
    control = data["controlled"].values
    return _with_control(data.isel(trial=control), effect) + _without_control(data["false_claims"].values[~control])


def _with_control(data: xr.Dataset, effect: float) -> list[str]:
    power, total = data["power"].values, data.sizes["trial"]
    if total == 0:
        return []
    best, exaggeration = int(np.argmax(power)), data["type_m"].dropna("trial").values
    said = [
        f"{(power >= ENOUGH).sum()} of {total} trial{'s' if total > 1 else ''} with a control group had 80 % power "
        f"for a gain of {effect:g} points.",
        f"As they were run, median power is {_percent(np.median(power))}, the highest {_percent(power[best])} "
        f"({data['trial'].values[best]}).",
    ]
    if exaggeration.size:
        times = np.median(exaggeration)
        said.append(
            f"Where the gain is that, a significant result of the median trial overstates it {times:.1f} times."
        )
    return said


def _without_control(false_claims: np.ndarray) -> list[str]:
    total, low = false_claims.size, _percent(min(false_claims, default=0))
    if total == 0:
        return []
    if total == 1:
        return [f"1 trial had no control group: without any effect it would claim a gain in {low} of repetitions."]
    high, middle = _percent(max(false_claims)), _percent(np.median(false_claims))
    return [
        f"{total} trials had no control group: without any effect they would claim a gain in {low} to {high} of "
        f"repetitions (median {middle})."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
