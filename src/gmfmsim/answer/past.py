"""The past, re-planned: what every trial of the evidence could have shown, as it was designed and run."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import xarray as xr
from pydantic import Field

from gmfmsim import DISCLAIMER
from gmfmsim.answer.sensitivity import effects_of, truths_of
from gmfmsim.faults import MOST_SOUGHT, Fault, InputError, choices, shortened, shown
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import Spec, parse, read_toml
from gmfmsim.model.average import Member
from gmfmsim.question.experiment import METHOD, NAME, file_name, judged_by
from gmfmsim.question.plan import Prepared, prepare
from gmfmsim.trial.designs import AnyDesign, Design
from gmfmsim.trial.operate import operate, primary_only
from gmfmsim.trial.presets import read_design, resolve

FIGURES = {
    "power": ("planning_value", "success"),
    "false_claims": ("null", "success"),
    "assurance": ("new_study", "success"),
    "type_m": ("planning_value", "type_m"),
    "type_s": ("planning_value", "type_s"),
}
"""What is said of each trial: the scenario and the operating characteristic."""

ENOUGH = 0.8
"""The power that protocols ask for."""

LONGEST_NAME = 40
"""Characters of the name of a trial in tables and figures."""


class Section(Spec):
    """What [past] says: the effect in points whose power is asked, and the trials: all that were run by default.

    A design is named, or declared in a table as [trial] does.
    """

    effect: Annotated[float, Field(ge=1e-3, le=100)]
    replicates: Annotated[int, Field(ge=1_000, le=5_000_000)] = 20_000
    designs: list[str | dict] = Field(default_factory=list, max_length=100)


class PastFile(Spec):
    """An experiment file that re-plans trials of the past."""

    name: str | None = Field(default=None, pattern=f"^{NAME.pattern}$")
    question: str = Field(min_length=1, max_length=2000)
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    evidence: dict
    model: dict
    sampler: dict = Field(default_factory=dict)
    past: Section


@dataclass(frozen=True)
class Past:
    """A question, and each trial as a plan with the same evidence and model."""

    name: str
    question: str
    section: Section
    trials: tuple[Prepared, ...]

    @property
    def config(self) -> dict:
        """The resolved configuration: every default written out. Running it again gives the same key."""
        first = self.trials[0].config
        head = {"name": self.name, "question": self.question, "seed": self.trials[0].plan.seed}
        named = self.section.designs or [p.plan.trial.design for p in self.trials]
        designs = [
            design if isinstance(design, str) and not design.endswith(".toml") else p.config["trial"]
            for design, p in zip(named, self.trials, strict=True)
        ]
        past = self.section.model_dump() | {"designs": designs}
        return head | {k: first[k] for k in ("evidence", "model", "sampler") if k in first} | {"past": past}

    @property
    def key(self) -> str:
        """Hash of configuration, designs, evidence, model and version of the method."""
        first = self.trials[0]
        plans = [p.plan.model_dump(mode="json", exclude={"evidence": {"tables"}, "model": True}) for p in self.trials]
        models = [m.model_dump(mode="json") for m in first.models.values()], first.plan.model.weights
        tables = first.tables.sha256, *judged_by(first.tables).values()
        text = json.dumps([METHOD, self.name, self.question, plans, models, *tables], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_past(name: str) -> bool:
    """Return whether an experiment (a shipped name, or the path of a .toml file) re-plans trials of the past."""
    return "past" in read_toml(find("experiments", name))


def read_past(name: str) -> Past:
    """Read and check an experiment with a [past] section, and the design of every trial it names.

    Raises InputError with every fault of the file, the tables, the model and the designs.
    """
    path = find("experiments", name)
    raw = read_toml(path)
    file, faults = parse(PastFile, raw, path.name)
    own_name, found = file_name(raw, path)
    if file is None:
        raise InputError(faults)
    faults += found
    base = {k: v for k, v in raw.items() if k in ("seed", "evidence", "model", "sampler")}
    target = {"metric": "power", "value": ENOUGH}
    search = {"target": target, "planning_value": file.past.effect, "replicates": file.past.replicates}
    trials = []
    for i, named in enumerate(file.past.designs or was_run()):
        if len(faults) > MOST_SOUGHT:
            break
        trial, of_trial = _declared(named, path)
        label = str(trial.get("design") or trial.get("title") or f"trial {i + 1}")[:60]
        whole = base | {"label": label, "trial": trial, "search": search}
        prepared, found = prepare(whole, path) if trials == [] or not of_trial else (None, [])
        of_trial = of_trial or [f for f in found if f.where.startswith("key trial")]
        faults += [_in_place(f, i) if f.file == path.name else f for f in of_trial]
        faults += [f for f in found if not f.where.startswith("key trial") and f not in faults]
        trials.append(prepared)
    if faults:
        raise InputError(faults)
    return Past(own_name, file.question, file.past, tuple(trials))


def _declared(named: str | dict, path: Path) -> tuple[dict, list[Fault]]:
    """Return the whole declaration of a trial, and why it cannot be asked what it could have shown."""
    try:
        raw = resolve({"design": named} if isinstance(named, str) else named, path.parent, path.name)
    except InputError as error:
        return {}, list(error.faults)
    design, faults = parse(AnyDesign, raw, path.name)
    if design and design.as_run is None:
        allowed = "a design whose arms have n: " + choices(design.design, was_run())
        faults.append(Fault(path.name, "key design", f"{shown(design.title)} was not run: its arms have no n", allowed))
    if design and design.objective.claim != "superiority":
        problem = f"{shown(design.title)} claims {design.objective.claim}"
        faults.append(Fault(path.name, "key design", problem, "designs that claim superiority"))
    return raw, faults


def _in_place(fault: Fault, position: int) -> Fault:
    """Say that a fault of a trial stands in one of the designs of [past]."""
    key = fault.where.removeprefix("key ").removeprefix("trial.")
    inside = "" if key in ("design", "trial", "sections") else f".{key}"
    return replace(fault, where=f"key past.designs.{position}{inside}")


def was_run() -> list[str]:
    """Return the names of the shipped designs that say how many children each arm had."""
    return [name for name in names("designs") if read_design(name).as_run]


def replan(past: Past, posteriors: list[list[Member]], advance=lambda: None) -> xr.Dataset:
    """Simulate every trial as it was run and return what its primary analysis could show.

    Returns, with dim trial and an `_mcse` beside each: power at the effect asked for; false_claims, success without an
    effect; assurance in a new study; type_m and type_s, exaggeration and wrong sign of its significant results at that
    effect (Gelman & Carlin 2014). Further n_total, month, kind, controlled (has it an arm without cells?), analysis,
    title.
    """
    rows = []
    for prepared, members in zip(past.trials, posteriors, strict=True):
        design, n = prepared.plan.trial.rerun()
        first, engine = primary_only(design)
        truths = truths_of(prepared, effects_of(prepared, members)).drop_sel(scenario="pooled_mean")
        surface = operate(truths, first, n=[n], seed=prepared.plan.seed, engine=engine).isel(analysis=0, n=0)
        figures = {
            f"{name}{mcse}": surface[f"{of}{mcse}"].sel(scenario=scenario).item()
            for name, (scenario, of) in FIGURES.items()
            for mcse in ("", "_mcse")
        }
        rows.append(figures | _facts(design))
        advance()
    columns = {name: ("trial", np.array([row[name] for row in rows])) for name in rows[0]}
    attrs = {"effect": past.section.effect, "replicates": past.section.replicates, "unit": "GMFM-66 points"}
    titles = [p.plan.trial.title for p in past.trials]
    labels = [shortened(title.split(":")[0].strip() or title, LONGEST_NAME) for title in titles]
    return xr.Dataset(columns, {"trial": labels, "design": ("trial", [p.plan.label for p in past.trials])}, attrs)


def _facts(design: Design) -> dict:
    """Return what identifies a trial beside its name."""
    return {
        "n_total": sum(design.as_run.values()),
        "month": design.month,
        "kind": design.kind,
        "controlled": design.control is not None,
        "analysis": design.analyses[0].label,
        "title": design.title,
    }


def past_answer(past: Past, data: xr.Dataset) -> dict:
    """Return answer.json: the sentence, and for every trial its figures, rounded to six decimals."""
    trials = []
    for i in range(data.sizes["trial"]):
        row = data.isel(trial=i)
        figures = {v: row[v].item() for v in ("trial", "design", *data.data_vars)}
        trials.append({k: _rounded(v) for k, v in figures.items()})
    return {
        "experiment": past.name,
        "key": past.key,
        "question": past.question,
        "effect": past.section.effect,
        "sentence": " ".join(past_sentences(data, past.section.effect)),
        "trials": trials,
        "disclaimer": DISCLAIMER,
    }


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6) if np.isfinite(value) else None
    return value


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
