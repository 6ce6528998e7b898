"""[rerun]: what a review prints, computed again from the figures of its trials."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from gmfmsim.evidence.joined import PACKAGE
from gmfmsim.evidence.rerun import KINDS, faults_of_rows, run_check
from gmfmsim.evidence.rerun.checks import Check, CheckResult
from gmfmsim.evidence.rerun.rows import Place
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import MOST_SOUGHT, Fault, InputError, choices, shown
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.question.evidence import TABLES_WORDS, Sources, TableNames, as_copied, copies_of, read_from


class RerunSection(Spec):
    """What a review prints, computed again from the figures of its trials."""

    review: Annotated[str, key("review, as pooled.csv names it", example="Eggenberger2019")]
    tables: Annotated[TableNames, key(TABLES_WORDS, example=["package", "pilots.csv"])] = PACKAGE
    checks: list[dict] = key("what is computed again", min_length=1, max_length=200)


class RerunFile(Spec):
    """What an experiment file that computes a review again says beside name and question."""

    rerun: RerunSection


@dataclass(frozen=True)
class Rerun:
    """The checks of a review, and what they come to. That is arithmetic, done where a file is read: a check whose
    figures give no result is a fault of the file."""

    review: str
    named: TableNames
    tables: Tables
    checks: tuple[Check, ...]
    results: tuple[CheckResult, ...]

    plans = ()
    model_copies: ClassVar[dict[str, str]] = {}
    words = "rerun", "a review rerun"

    @property
    def config(self) -> dict:
        """What the experiment file says beside name and question, every default written out."""
        checks = [c.model_dump(mode="json", exclude_none=True) for c in self.checks]
        return {"rerun": {"review": self.review, "tables": as_copied(self.named, self.tables), "checks": checks}}

    @property
    def tables_copies(self) -> dict[str, Tables]:
        """The user's own tables, by where a result keeps a copy of them."""
        return copies_of(self.named, self.tables)

    @property
    def identity(self) -> list:
        """What the key of a result counts."""
        return [self.review, self.config["rerun"]["checks"], read_from(self.tables)]


def read_rerun(raw: dict, sources: Sources) -> tuple[Rerun | None, list[Fault]]:
    """Read an experiment with a [rerun] section, and compute its checks: `raw` is the file without name and question.

    Faults are those of the file, of the tables, and of the rows that the checks name.
    """
    file = sources.path.name
    _, faults = parse(RerunFile, raw, file)
    known = raw["rerun"] if isinstance(raw["rerun"], dict) else {}
    section, _ = parse(RerunSection, {k: v for k, v in known.items() if k in RerunSection.model_fields}, file)
    if section is None:
        return None, faults
    try:
        tables = sources.table(section.tables)
    except InputError as error:
        return None, [*faults, *error.faults]
    checks, results = [], []
    reviews = sorted({r["meta_id"] for r in tables.rows.get("pooled", [])})
    if section.review not in reviews:
        problem = f"{shown(section.review)} is not in pooled.csv"
        faults.append(Fault(file, "key rerun.review", problem, choices(section.review, reviews)))
    for i, raw_check in enumerate(section.checks):
        if len(faults) > MOST_SOUGHT:
            break
        place = Place(tables, section.review, file, f"key rerun.checks.{i}")
        check, found = _check(raw_check, place)
        try:
            checks.append(check)
            results += [run_check(check, place)] if check else []
        except InputError as error:
            found += error.faults
        follows = f"{place.where}.published" if section.review not in reviews else ""
        faults += [f for f in found if f.where != follows]
    return Rerun(section.review, section.tables, tables, tuple(checks), tuple(results)), faults


def _check(raw: dict, place: Place) -> tuple[Check | None, list[Fault]]:
    """Parse one check by its kind; where its grammar is faulty, look at its rows all the same."""
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        problem = "is missing" if kind is None else f"{shown(kind)} is not a kind of check"
        return None, [Fault(place.file, f"{place.where}.kind", problem, choices(kind, KINDS))]
    check, faults = parse(KINDS[kind][0], raw, place.file)
    faults = [f.inside(place.where.removeprefix("key ")) for f in faults]
    return check, faults if check else faults + faults_of_rows(raw, place)
