"""[who]: whether children of some ages or GMFCS levels gain more, and what trials of these alone would need."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.covariates import AGE_IN_RANGE, LEVEL_IN_RANGE, LEVELS
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.setting import MODIFIERS
from gmfmsim.question.evidence import Sources
from gmfmsim.question.plan import Prepared, Seed, prepare

OF_MEANS = {"age": AGE_IN_RANGE, "gmfcs": LEVEL_IN_RANGE}
"""The modifiers that bands of children are of, and where their mean lies in a band, as in the evidence."""
ENDS = {"age": (0.0, 25.0), "gmfcs": (1.0, 5.0)}
"""What a band of each may span: years; levels I to V as 1 to 5."""

Band = Annotated[list[float], Field(min_length=2, max_length=2)]


class By(Spec):
    """Children by what a model of the effect tells apart: trials of bands of them, and two subgroups of one trial."""

    model: Annotated[str, key("model with one term of age or gmfcs, shipped or a .toml file", example="age")]
    bands: Annotated[
        list[Band],
        key("trials of children from one age in years, or level as 1 to 5, to another", example=[[1, 3], [3, 10]]),
    ] = Field(min_length=1, max_length=12)
    subgroups: Annotated[list[Band], key("the two subgroups of one trial", example=[[1, 5], [5, 18]])] = Field(
        min_length=2, max_length=2
    )
    share: Annotated[float, key("of its children who are in the first", "share", gt=0, lt=1)] = 0.5

    @model_validator(mode="after")
    def _ordered(self):
        if not all(low < high for low, high in (*self.bands, *self.subgroups)):
            raise PydanticCustomError("bands", "the low end of a band first, below its high end")
        if any(self.bands.count(band) > 1 for band in self.bands) or self.subgroups[0] == self.subgroups[1]:
            raise PydanticCustomError("bands", "each band once")
        return self


class HeldTo(Spec):
    """A claim about who gains most, and the model in which it is the sign of one slope."""

    claim: Annotated[str, key("a row of claims.csv", example="C09")]
    model: Annotated[str, key("model with the one term that the claim is about", example="claimed_age")]


class WhoSection(Spec):
    """Who gains most: effects by age and GMFCS level, trials of some children alone, and the test of subgroups."""

    by: Annotated[list[By], key("what children are told apart by"), Field(min_length=1, max_length=2)]
    held: Annotated[HeldTo | None, key("a claim that is held to the evidence")] = None
    note: Annotated[
        str, key("what has to be known beside it", example="In individual data it is otherwise.", max_length=1000)
    ] = ""


class WhoFile(Spec):
    """What an experiment file with a [who] section says beside name and question."""

    seed: Seed
    evidence: dict
    sampler: dict = Field({})
    trial: dict
    analysis: dict = Field({})
    search: dict
    who: WhoSection


def in_words(term: str, band: list[float]) -> str:
    """Say a band of children."""
    low, high = band
    if term == "age":
        return f"{low:g} to {high:g} years"
    named = [LEVELS[int(end) - 1] if end == int(end) else f"{end:g}" for end in band]
    return f"levels {named[0]} to {named[1]}"


def mean_of(term: str, band: list[float]) -> float:
    """Return the mean of the children of a band, where the evidence has it in a range."""
    return band[0] + OF_MEANS[term].mean * (band[1] - band[0])


@dataclass(frozen=True)
class Part:
    """What children are told apart by: the term, a plan for each band, and one for both subgroups together."""

    by: By
    term: str
    bands: tuple[Prepared, ...]
    both: Prepared


@dataclass(frozen=True)
class Who:
    """The question with everything that it names, and one plan a trial."""

    section: WhoSection
    parts: tuple[Part, ...]
    held: Prepared | None
    claim: dict[str, Any] | None

    words = "who", "a question of who gains"

    @property
    def plans(self) -> tuple[Prepared, ...]:
        """The plan of every trial."""
        of_parts = tuple(p for part in self.parts for p in (*part.bands, part.both))
        return of_parts + ((self.held,) if self.held else ())

    @property
    def tables(self) -> Tables:
        """The tables that the evidence comes from."""
        return self.plans[0].tables

    @property
    def config(self) -> dict:
        """What the experiment file says beside name and question, every default written out."""
        first, said = self.plans[0].config, self.section.model_dump(mode="json", exclude_none=True)
        setting = {name: value for name, value in first["trial"]["setting"].items() if name not in MODIFIERS}
        for by, part in zip(said["by"], self.parts, strict=True):
            by["model"] = part.both.model_copies.get(by["model"], by["model"])
        if self.held:
            said["held"]["model"] = self.held.model_copies.get(said["held"]["model"], said["held"]["model"])
        kept = {name: first[name] for name in ("seed", "evidence", "sampler", "search")}
        return kept | {"trial": first["trial"] | {"setting": setting}, "who": said}

    @property
    def identity(self) -> list:
        """What the key of a result counts."""
        said = self.section.model_dump(mode="json", exclude={"by": {"__all__": {"model"}}, "held": {"model"}})
        return [said, self.claim, *(p.identity for p in self.plans)]


def read_who(raw: dict, sources: Sources) -> tuple[Who | None, list[Fault]]:
    """Read an experiment with a [who] section: `raw` is the file without name and question.

    Faults are those of the file, of evidence, models and trial, and of bands that cannot be.
    """
    path = sources.path
    file, faults = parse(WhoFile, raw, path.name)
    if file is None:
        return None, faults
    found, parts = _Plans({k: v for k, v in raw.items() if k != "who"}, sources, faults), []
    for i, by in enumerate(file.who.by):
        term = found.term(by.model, f"who.by.{i}.model", tuple(OF_MEANS))
        if term is None or found.outside(term, by, f"who.by.{i}"):
            continue
        if term in (part.term for part in parts):
            faults.append(Fault(path.name, f"key who.by.{i}.model", f"{term} stands there twice", "each term once"))
            continue
        bands = [found.plan(in_words(term, band), by.model, term, mean_of(term, band)) for band in by.bands]
        first, second = (mean_of(term, band) for band in by.subgroups)
        mean = by.share * first + (1 - by.share) * second
        both = found.plan(" and ".join(in_words(term, band) for band in by.subgroups), by.model, term, mean)
        parts.append(Part(by, term, tuple(bands), both))
    held, claim = None, None
    if file.who.held:
        term = found.term(file.who.held.model, "who.held.model", tuple(MODIFIERS))
        held = found.plan(f"claim {file.who.held.claim}", file.who.held.model, term, 1.0) if term else None
        claim = found.claim(file.who.held.claim, held)
    if faults:
        return None, faults
    return Who(file.who, tuple(parts), held, claim), []


@dataclass(frozen=True)
class _Plans:
    """What a file says of every plan, and the faults of those that were read."""

    base: dict
    sources: Sources
    faults: list[Fault]

    def _fault(self, where: str, problem: str, allowed: str) -> None:
        self.faults.append(Fault(self.sources.path.name, f"key {where}", problem, allowed))

    def term(self, model: str, where: str, allowed: tuple[str, ...]) -> str | None:
        """Return the one term of a model by which children are told apart; None, and a fault, where it has another
        number of them."""
        path = self.sources.path
        try:
            spec: ModelSpec = read_model(ModelChoice(name=model), beside=path.parent, file=path.name)
        except InputError as error:
            self.faults.extend(f.inside(where.removesuffix(".model"), "model") for f in error.faults)
            return None
        terms = [term for term in spec.terms if term in MODIFIERS]
        if len(terms) == 1 and terms[0] in allowed:
            return terms[0]
        self._fault(
            where, f"{shown(model)} has the terms {', '.join(spec.terms) or 'none'}", f"one of {', '.join(allowed)}"
        )
        return None

    def outside(self, term: str, by: By, where: str) -> bool:
        """Return whether a band goes beyond what there is, with a fault."""
        low, high = ENDS[term]
        wrong = [band for band in (*by.bands, *by.subgroups) if band[0] < low or band[1] > high]
        for band in wrong:
            self._fault(where, f"the band {band[0]:g} to {band[1]:g} goes too far", f"from {low:g} to {high:g}")
        return bool(wrong)

    def plan(self, label: str, model: str, term: str, mean: float) -> Any:
        """Return the plan of a trial of children of one mean; None, and its faults, where it cannot be."""
        trial = self.base["trial"]
        setting = trial.get("setting") if isinstance(trial.get("setting"), dict) else {}
        own = {"label": label[:60], "model": {"name": model}, "sensitivity": {"changed": []}}
        prepared, found = prepare(
            self.base | own | {"trial": trial | {"setting": setting | {term: round(mean, 9)}}}, self.sources
        )
        if prepared and (not prepared.plan.trial.two_arms_one_test or prepared.plan.trial.looks):
            allowed = "two arms of normal children, one t test without looks: subgroups are computed, not simulated"
            found = [Fault(self.sources.path.name, "key trial", f"{prepared.plan.trial.title} is another", allowed)]
        if prepared and not found and (prepared.plan.sampler.engine == "nuts" or prepared.refused):
            allowed = "models that the exact engine fits: the slope is read from its posterior"
            found = [Fault(self.sources.path.name, "key sampler.engine", f"{model} is sampled", allowed)]
        self.faults.extend(f for f in found if f not in self.faults)
        return prepared

    def claim(self, name: str, held: Prepared | None) -> dict[str, Any] | None:
        """Return the row of claims.csv of a claim; None, and a fault, where there is none."""
        rows = {row["claim_id"]: row for row in held.tables.rows.get("claims", [])} if held else {}
        if held and name not in rows:
            self._fault(
                "who.held.claim", f"there is no {shown(name)}", choices(name, sorted(rows)) if rows else "a table"
            )
        return {k: v for k, v in rows[name].items() if k not in ("row", "file")} if name in rows else None
