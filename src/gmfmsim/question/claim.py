"""[claim]: what it is worth that so many per cent of children improve."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeGuard

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.dist.distributions import Normal
from gmfmsim.dist.positive import HalfNormal
from gmfmsim.evidence.improvers import EVENT, Reported, reported_improvers
from gmfmsim.evidence.joined import PACKAGE
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import Fault, InputError, choices, shortened, shown
from gmfmsim.files.shelf import names
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.question.evidence import TABLES_WORDS, Sources, TableNames, as_copied, copies_of, read_from
from gmfmsim.question.plan import Seed
from gmfmsim.trial.children import PopulationChildren
from gmfmsim.trial.design import Design
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.presets import AnyChildren, read_children, read_design, resolve

Points = Annotated[float, Field(ge=-50, le=50)]
Children = Annotated[int, Field(ge=2, le=100_000)]
Share = Annotated[float, key("of children who are said to improve", "share", example=0.8, gt=0, lt=1)]


LONGEST_NAME = 40
"""Characters of what children are called in tables and figures."""


class Believed(Spec):
    """A normal distribution, known before the counts."""

    mean: Annotated[float, key("mean", "that of what it is about", example=0, ge=-50, le=50)]
    sd: Annotated[float, key("standard deviation", "that of what it is about", example=5, ge=0.01, le=100)]

    @property
    def prior(self) -> Normal:
        """The distribution."""
        return Normal(dist="normal", mean=self.mean, sd=self.sd)


class ClaimPriors(Spec):
    """What is thought before the counts: each a distribution, its reason in the comment of the file."""

    effect: Annotated[Believed, key("gain by cells, the same in every child", "GMFM-66 points")]
    margin: Annotated[
        Believed, key("change from which a report calls a child better, where none says", "GMFM-66 points")
    ]
    mean_logit: Annotated[Believed, key("mean over reports of the log odds of improving", "logit")]
    sd_logit: Annotated[
        float, key("SD of these between reports: the scale of its half-normal prior", "logit", example=1, gt=0, le=10)
    ]

    @property
    def between(self) -> HalfNormal:
        """The prior of the SD between reports."""
        return HalfNormal(dist="half_normal", sd=self.sd_logit)


class Volunteers(Spec):
    """What volunteers gain in 12 months beyond the growth curves: Normal(mean, sd), and the ends that are cited."""

    mean: Annotated[float, key("mean", "GMFM-66 points", example=3.1, ge=-20, le=20)]
    sd: Annotated[float, key("standard error", "GMFM-66 points", example=0.9, ge=0.01, le=20)]
    low: Annotated[float, key("low end of the interval", "GMFM-66 points", example=1.4, ge=-20, le=20)]
    high: Annotated[float, key("high end of the interval", "GMFM-66 points", example=5.0, ge=-20, le=20)]

    @model_validator(mode="after")
    def _ordered(self):
        if not self.low < self.mean < self.high:
            raise PydanticCustomError("volunteers", "low < mean < high")
        return self

    def over(self, month: float) -> Normal:
        """Return the gain of volunteers over some months, in proportion up to 12."""
        part = min(month / 12, 1)
        return Normal(dist="normal", mean=self.mean * part, sd=self.sd * part)


class ClaimSection(Spec):
    """What the claim that a share of children improve is worth: growth, volunteers, counts, and designs without and
    with a control group."""

    share: Share
    months: Annotated[float, key("over which children are said to improve", "months", example=12, gt=0, le=60)] = 12
    populations: Annotated[
        list[str | dict],
        key("children, names or tables as children files have; the first for the answer", example=["preschool"]),
        Field(min_length=1, max_length=12),
    ]
    reported_in: Annotated[
        str | dict, key("children of reports, who take the ages that these print", example="registry")
    ]
    margins: Annotated[
        list[Points], key("changes from which a child is better", "GMFM-66 points", example=[0, 1, 2, 4])
    ] = Field(min_length=1, max_length=20)
    sizes: Annotated[list[Children], key("numbers of children", "children", example=[10, 50, 100])] = Field(
        min_length=1, max_length=20
    )
    volunteers: Annotated[Volunteers, key("what volunteers gain beyond the growth curves in 12 months")]
    priors: Annotated[ClaimPriors, key("what is thought before the counts")]
    designs: Annotated[
        list[str | dict],
        key("trials without a control group, names or tables as [trial] has", example=["next_single_arm"]),
        Field(max_length=12),
    ]
    controlled: Annotated[str | dict, key("a trial with a control group, of as many children", example="next_parallel")]
    n_total: Annotated[int, key("children of each trial, in all arms", "children", example=160, ge=10, le=10_000)]
    effects: Annotated[list[Points], key("gains whose power is said", "GMFM-66 points", example=[1.42, 3])] = Field(
        min_length=1, max_length=12
    )
    replicates: Annotated[int, key("simulated trials of each", "trials", ge=1_000, le=1_000_000)] = 20_000
    tables: Annotated[TableNames, key(TABLES_WORDS, example=["package", "own"])] = PACKAGE

    @field_validator("margins", "sizes", "effects")
    @classmethod
    def _each_once(cls, values: list) -> list:
        if sorted(set(values)) != values:
            raise PydanticCustomError("claim", "numbers that rise, each once")
        return values


class ClaimFile(Spec):
    """What an experiment file that weighs a claim says beside name and question."""

    seed: Seed
    claim: ClaimSection


@dataclass(frozen=True)
class Population:
    """Children of a claim and what they are called."""

    name: str
    children: PopulationChildren


@dataclass(frozen=True)
class Claim:
    """The claim with everything that it names: children, designs, and the reports of the tables."""

    seed: int
    section: ClaimSection
    populations: tuple[Population, ...]
    reported_in: PopulationChildren
    designs: tuple[Design, ...]
    controlled: Design
    tables: Tables
    reports: tuple[Reported, ...]

    plans = ()
    model_copies: ClassVar[dict[str, str]] = {}
    words = "claim", "a claim about improvers"

    @property
    def config(self) -> dict:
        """What the experiment file says beside name and question, every default written out."""
        section = self.section
        said = section.model_dump(mode="json")
        said |= {
            "populations": [_kept(n, p.children) for n, p in zip(section.populations, self.populations, strict=True)],
            "reported_in": _kept(section.reported_in, self.reported_in),
            "designs": [_kept(n, d) for n, d in zip(section.designs, self.designs, strict=True)],
            "controlled": _kept(section.controlled, self.controlled),
            "tables": as_copied(section.tables, self.tables),
        }
        return {"seed": self.seed, "claim": said}

    @property
    def tables_copies(self) -> dict[str, Tables]:
        """The user's own tables, by where a result keeps a copy of them."""
        return copies_of(self.section.tables, self.tables)

    @property
    def identity(self) -> list:
        """What the key of a result counts."""
        of = [*(p.children for p in self.populations), self.reported_in, *self.designs, self.controlled]
        known = self.section.model_dump(mode="json", exclude={"populations", "reported_in", "designs", "controlled"})
        parts = [[p.name for p in self.populations], [one.model_dump(mode="json") for one in of]]
        return [self.seed, known | {"tables": None}, *parts, read_from(self.tables)]


def _kept(named: str | dict, whole: Spec) -> str | dict:
    """Return what a result's configuration calls a design or children: a shipped name, or all that they say."""
    return named if _shipped(named) else whole.model_dump(mode="json", exclude_none=True)


def _shipped(named: str | dict) -> TypeGuard[str]:
    """Return whether a file names what is shipped, and does not say it itself or name a file of the user."""
    return isinstance(named, str) and not named.endswith(".toml")


def read_claim(raw: dict, sources: Sources) -> tuple[Claim | None, list[Fault]]:
    """Read an experiment with a [claim] section: `raw` is the file without name and question.

    Faults are those of the file, of the tables, and of the children and designs that it names.
    """
    path = sources.path
    file, faults = parse(ClaimFile, raw, path.name)
    if file is None:
        return None, faults
    section, found = file.claim, _Found(path, faults)
    populations = [found.children(n, f"claim.populations.{i}") for i, n in enumerate(section.populations)]
    reported_in = found.children(section.reported_in, "claim.reported_in")
    designs = [found.design(n, f"claim.designs.{i}", False) for i, n in enumerate(section.designs)]
    controlled = found.design(section.controlled, "claim.controlled", True)
    for where, design in (*((f"designs.{i}", d) for i, d in enumerate(designs)), ("controlled", controlled)):
        if design and design.total(design.fewest) > section.n_total:
            allowed = f"at least {design.total(design.fewest)} for {design.title}"
            faults.append(Fault(path.name, "key claim.n_total", f"{section.n_total} children for {where}", allowed))
    try:
        tables = sources.table(section.tables)
        if not any(row["event"].startswith(EVENT) for row in tables.rows.get("events", [])):
            problem = "no report of improvers in events.csv"
            faults.append(Fault(path.name, "key claim.tables", problem, f"rows with event {EVENT}, as package has"))
    except InputError as error:
        return None, [*faults, *error.faults]
    if faults:
        return None, faults
    called = [_name(n, p) for n, p in zip(section.populations, populations, strict=True)]
    if len(set(called)) < len(called):
        problem = f"{shown(max(called, key=called.count))} stands there twice"
        return None, [Fault(path.name, "key claim.populations", problem, "each population once")]
    named = tuple(Population(n, p) for n, p in zip(called, populations, strict=True))
    reports = tuple(reported_improvers(tables))
    return Claim(file.seed, section, named, reported_in, tuple(designs), controlled, tables, reports), []


def _name(named: str | dict, children: PopulationChildren) -> str:
    """Return what children are called: a shipped name, or the title of a user's own."""
    return named if _shipped(named) else shortened(children.title, LONGEST_NAME)


@dataclass(frozen=True)
class _Found:
    """What a file names, read; the faults go into `faults`."""

    path: Path
    faults: list[Fault]

    def children(self, named: str | dict, where: str) -> Any:
        """Return the children of a name or table; None where they are faulty, or follow no growth curves."""

        def read() -> Any:
            if isinstance(named, str):
                return read_children(named, beside=self.path.parent)
            children, faults = parse(AnyChildren, named, self.path.name)
            if faults:
                raise InputError(faults)
            return children

        return self._sound(read, where, _no_law)

    def design(self, named: str | dict, where: str, controlled: bool) -> Any:
        """Return the design of a name or table; None where it is faulty, or has a control group where none is asked
        for, or the other way round."""

        def read() -> Any:
            if isinstance(named, str):
                return read_design(named, beside=self.path.parent)
            design, faults = parse(AnyDesign, resolve(named, self.path.parent, self.path.name), self.path.name)
            if faults:
                raise InputError(faults)
            return design

        return self._sound(read, where, lambda design: _no_use(design, controlled))

    def _sound(self, read: Callable[[], Any], where: str, problem: Callable[[Any], tuple[str, str] | None]) -> Any:
        """Return what is read; None, and its faults, where it is not as it should be."""
        try:
            value = read()
        except InputError as error:
            file = self.path.name
            self.faults.extend(f.inside(where, "design", "population") if f.file == file else f for f in error.faults)
            return None
        if found := problem(value):
            self.faults.append(Fault(self.path.name, f"key {where}", *found))
            return None
        return value


def _no_law(children: Any) -> tuple[str, str] | None:
    """Return why the change of children without cells has no law here, and what has; None where it has one."""
    if children.kind != "population":
        return f"{shown(children.title)} have no growth curves", 'children of kind "population"'
    if children.centres:
        return f"{shown(children.title)} resemble each other within centres", "children without [centres]"
    return None


def _no_use(design: Any, controlled: bool) -> tuple[str, str] | None:
    """Return why a design cannot be asked for false claims, and what can; None where it can."""
    if (design.control is not None) != controlled:
        have = [name for name in names("designs") if (read_design(name).control is not None) == controlled]
        has, wanted = ("a", "without") if not controlled else ("no", "with")
        allowed = f"a design {wanted} a control group: {choices(design.design, have, 6)}"
        return f"{shown(design.title)} has {has} control group", allowed
    if design.objective.claim != "superiority":
        return f"{shown(design.title)} claims {design.objective.claim}", "designs that claim superiority"
    if design.children.kind != "population":
        return f"{shown(design.title)} has children without growth curves", "designs with children of the curves"
    return None
