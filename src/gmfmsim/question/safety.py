"""[safety]: adverse events by dose, what a trial can say of them, and when it should stop."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.events import EventCounts, event_counts
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import Fault, InputError
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.model.safety_priors import SafetyPriors
from gmfmsim.model.setting import Setting
from gmfmsim.question.evidence import Sources
from gmfmsim.question.plan import Prepared, prepare
from gmfmsim.trial.exact.stopping import StoppingRule

Rate = Annotated[float, Field(gt=0, lt=1)]


ANY_SD = {"sd_change": {"dist": "fixed", "value": 5.5}}
"""A plan must say how much children spread; the gain does not depend on it."""


class Event(Spec):
    """An adverse event, and the rate of it that would be too high."""

    name: Annotated[str, key("as events.csv names it", example="serious_adverse", min_length=1, max_length=60)]
    limit: Annotated[float, key("rate that is too high", "share of children", example=0.05, gt=0, lt=1)]


class Telling(Spec):
    """Two rates that a trial of two arms is to tell apart."""

    rates: Annotated[
        list[Rate], key("the two rates", "share of children", example=[0.03, 0.02], min_length=2, max_length=2)
    ]
    power: Annotated[float, key("to tell them apart", "probability", gt=0, lt=1)] = 0.8
    alpha: Annotated[float, key("two-sided level of the test", gt=0, lt=1)] = 0.05

    @model_validator(mode="after")
    def _apart(self):
        first, second = self.rates
        if abs(first - second) < 1e-4:
            raise PydanticCustomError("rates", "two rates that differ by at least 0.0001")
        return self


def _each_once(values: list) -> list:
    if len(set(map(str, values))) < len(values):
        raise PydanticCustomError("once", "each once")
    return values


class SafetySection(Spec):
    """Adverse events by dose: rates, risk differences, what none seen excludes, and a rule to stop for harm."""

    events: Annotated[
        list[Event],
        AfterValidator(lambda events: _each_once([e.name for e in events]) and events),
        key("adverse events, the first of which is told first", min_length=1, max_length=8),
    ]
    doses: Annotated[
        list[Annotated[float, Field(ge=1e4, le=1e10)]],
        AfterValidator(_each_once),
        key(
            "doses that are asked about; sentences speak of the last",
            "cells/kg",
            example=[1e7, 1e8],
            min_length=1,
            max_length=12,
        ),
    ]
    setting: Annotated[Setting, key("cells and children of the next trial; route must be said")]
    month: Annotated[float, key("of the gain", "months", example=12, gt=0, le=120)] = 12.0
    priors: Annotated[SafetyPriors, key("of the model of adverse events")] = SafetyPriors()
    tell: Annotated[Telling, key("two rates to be told apart")]
    stopping: Annotated[StoppingRule, key("when a trial stops for harm")]

    @model_validator(mode="after")
    def _route(self):
        if self.setting.route is None:
            raise PydanticCustomError("route", 'setting with a route: "intravenous" or "other"')
        return self

    @property
    def by_vein(self) -> bool:
        """Whether cells are given by vein alone."""
        return self.setting.route == "intravenous"


class SafetyFile(Spec):
    """What an experiment file about adverse events says beside name and question."""

    evidence: dict
    model: dict
    safety: SafetySection


@dataclass(frozen=True)
class Safety:
    """The adverse events that are asked about with the rows that count, and the evidence and model of the gain."""

    section: SafetySection
    counts: tuple[EventCounts, ...]
    benefit: Prepared

    plans = ()
    words = "safety", "a question about adverse events"

    @property
    def tables(self) -> Tables:
        """The tables that events and contrasts come from."""
        return self.benefit.tables

    @property
    def config(self) -> dict[str, Any]:
        """What the experiment file says beside name and question, every default written out."""
        kept = {k: self.benefit.config[k] for k in ("evidence", "model")}
        return kept | {"safety": self.section.model_dump(mode="json", exclude_none=True)}

    @property
    def tables_copies(self) -> dict[str, Tables]:
        """The user's own tables, by where a result keeps a copy of them."""
        return self.benefit.tables_copies

    @property
    def model_copies(self) -> dict[str, str]:
        """Where a result keeps the user's own model files."""
        return self.benefit.model_copies

    @property
    def model_files(self) -> dict:
        """The user's own model files."""
        return self.benefit.model_files

    @property
    def identity(self) -> list:
        """What the key of a result counts."""
        return [self.section.model_dump(mode="json"), self.benefit.identity]


def read_safety(raw: dict, sources: Sources) -> tuple[Safety | None, list[Fault]]:
    """Read an experiment with a [safety] section: `raw` is the file without name and question.

    The gain has the exact engine alone: nothing is drawn. Faults are those of the file, of the tables, of the model of
    the gain, and of events that events.csv does not have or that no row counts.
    """
    file, faults = parse(SafetyFile, raw, sources.path.name)
    if file is None:
        return None, faults
    section = file.safety
    arms = [{"name": "control", "dose": "0 cells/kg"}, {"name": "cells", "dose": f"{max(section.doses):g} cells/kg"}]
    of_gain = {
        "seed": 0,
        "evidence": raw["evidence"],
        "model": raw["model"],
        "sampler": {"engine": "exact", "cross_check": False},
        "trial": {"month": section.month, "arms": arms, "setting": section.setting.model_dump(exclude_none=True)}
        | ANY_SD,
        "search": {"target": {"metric": "power", "value": 0.8}, "planning_value": 1.0},
    }
    benefit, faults = prepare(of_gain, sources)
    faults = [_inside(fault) for fault in faults]
    if benefit is None:
        return None, faults
    counts = []
    for i, event in enumerate(section.events):
        try:
            counts.append(event_counts(benefit.tables, event.name))
        except InputError as error:
            where = f"key safety.events.{i}.name"
            faults += [replace(f, file=sources.path.name, where=where) for f in error.faults]
    return (None if faults else Safety(section, tuple(counts), benefit)), faults


def _inside(fault: Fault) -> Fault:
    """Return a fault of the plan of the gain as one of the section that it is made from."""
    where = fault.where.replace("key trial.", "key safety.").replace("key sampler.engine", "key model")
    return replace(fault, where=where)
