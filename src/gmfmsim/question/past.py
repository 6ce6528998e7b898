"""[past]: trials of the evidence, each as a plan with one evidence and one model."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gmfmsim.faults import MOST_SOUGHT, Fault, InputError, choices, shown
from gmfmsim.files.shelf import names
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.question.evidence import Sources
from gmfmsim.question.plan import Prepared, Seed, prepare
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.presets import read_design, resolve

ENOUGH = 0.8
"""The power that protocols ask for."""


class PastSection(Spec):
    """Trials of the past planned again as they were run: power, assurance, false claims and type M error of each."""

    effect: Annotated[float, key("gain whose power is asked", "GMFM-66 points", example=1.42, ge=1e-3, le=100)]
    replicates: Annotated[int, key("simulated trials of each", "trials", ge=1_000, le=5_000_000)] = 20_000
    designs: Annotated[
        list[str | dict],
        key("trials: names, or tables as [trial] has; none for all that were run", example=["sun2017"], max_length=100),
    ] = Field([])


class PastFile(Spec):
    """What an experiment file that plans past trials again says beside name and question."""

    seed: Seed
    evidence: dict
    model: dict
    sampler: dict = Field({})
    past: PastSection


@dataclass(frozen=True)
class Past:
    """The trials that are planned again, and the effect whose power is asked."""

    section: PastSection
    plans: tuple[Prepared, ...]

    @property
    def config(self) -> dict:
        """What the experiment file says beside name and question, every default written out."""
        first = self.plans[0].config
        named = self.section.designs or [p.plan.trial.design for p in self.plans]
        designs = [
            design if isinstance(design, str) and not design.endswith(".toml") else p.config["trial"]
            for design, p in zip(named, self.plans, strict=True)
        ]
        past = self.section.model_dump() | {"designs": designs}
        kept = {k: first[k] for k in ("evidence", "model", "sampler") if k in first}
        return {"seed": self.plans[0].plan.seed} | kept | {"past": past}

    @property
    def identity(self) -> list[dict]:
        """What the key of a result counts."""
        return [p.identity for p in self.plans]


def read_past(raw: dict, sources: Sources) -> tuple[Past | None, list[Fault]]:
    """Read the trials of an experiment with a [past] section: `raw` is the file without name and question."""
    path = sources.path
    file, faults = parse(PastFile, raw, path.name)
    if file is None:
        return None, faults
    base = {k: v for k, v in raw.items() if k != "past"}
    target = {"metric": "power", "value": ENOUGH}
    search = {"target": target, "planning_value": file.past.effect, "replicates": file.past.replicates}
    trials: list[Prepared | None] = []
    for i, named in enumerate(file.past.designs or was_run()):
        if len(faults) > MOST_SOUGHT:
            break
        trial, of_trial = _declared(named, path)
        label = str(trial.get("design") or trial.get("title") or f"trial {i + 1}")[:60]
        whole = base | {"label": label, "trial": trial, "search": search}
        prepared, found = prepare(whole, sources) if trials == [] or not of_trial else (None, [])
        of_trial = of_trial or [f for f in found if f.where.startswith("key trial")]
        place = f"past.designs.{i}"
        of_trial = [replace(f, where=f.where.replace("key trial.", "key ")) for f in of_trial]
        faults += [f.inside(place, "design", "trial") if f.file == path.name else f for f in of_trial]
        faults += [f for f in found if not f.where.startswith("key trial") and f not in faults]
        trials.append(prepared)
    return Past(file.past, tuple(trials)), faults


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


def was_run() -> list[str]:
    """Return the names of the shipped designs that say how many children each arm had."""
    return [name for name in names("designs") if read_design(name).as_run]
