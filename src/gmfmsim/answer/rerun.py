"""The path of an experiment with a [replication] section: read, check and compute, write a result folder."""

import dataclasses
import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from pydantic import Field

from gmfmsim import DISCLAIMER
from gmfmsim.evidence.read import PACKAGE_TABLES, copy_tables, read_tables
from gmfmsim.evidence.rerun import KINDS, faults_of_rows, run_check
from gmfmsim.evidence.rerun.checks import Check, CheckResult
from gmfmsim.evidence.rerun.rows import Place
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import MOST_SOUGHT, Fault, InputError, choices, shown
from gmfmsim.files import store
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import Spec, parse, read_toml
from gmfmsim.progress import Silent
from gmfmsim.question.experiment import METHOD, NAME, file_name, judged_by, provenance

PACKAGES = ("numpy", "scipy", "pydantic", "matplotlib")
VERDICTS = ("reproduced", "not reproduced", "benchmark", "cannot be reproduced")


class Section(Spec):
    """What [replication] says beside its checks: the review as pooled.csv names it, and the tables."""

    review: str
    tables: str = "package"
    checks: list[dict] = Field(min_length=1, max_length=200)


class ReplicationFile(Spec):
    """An experiment file that replicates a review."""

    name: str | None = Field(default=None, pattern=f"^{NAME.pattern}$")
    question: str = Field(min_length=1, max_length=2000)
    replication: Section


@dataclass(frozen=True)
class Replication:
    """A question, the checks that answer it, and what they come to. That is arithmetic, done where a file is read:
    a check whose figures give no result is a fault of the file."""

    name: str
    question: str
    section: Section
    tables: Tables
    checks: tuple[Check, ...]
    results: tuple[CheckResult, ...]

    @property
    def config(self) -> dict:
        """The resolved configuration: every default written out. Running it again gives the same key."""
        checks = [c.model_dump(mode="json", exclude_none=True) for c in self.checks]
        section = {"review": self.section.review, "tables": self.tables_copy or "package", "checks": checks}
        return {"name": self.name, "question": self.question, "replication": section}

    @property
    def tables_copy(self) -> str | None:
        """Where a result keeps the user's own tables; None for those of the package."""
        return None if self.section.tables == "package" else self.tables.copy_name

    @property
    def key(self) -> str:
        """Hash of configuration, evidence and version of the method; tables count by what they hold."""
        checks = self.config["replication"]["checks"]
        tables = self.tables.sha256, *judged_by(self.tables).values()
        text = json.dumps([METHOD, self.name, self.question, self.section.review, checks, *tables])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_replication(name: str) -> bool:
    """Return whether an experiment (a shipped name, or the path of a .toml file) replicates a review."""
    return "replication" in read_toml(find("experiments", name))


def read_replication(name: str) -> Replication:
    """Read an experiment that replicates a review, with the tables, and compute its checks.

    Raises InputError with every fault of the file, of the tables, and of the rows that the checks name.
    """
    path = find("experiments", name)
    raw = read_toml(path)
    file, faults = parse(ReplicationFile, raw, path.name)
    own_name, found = file_name(raw, path)
    faults += found if file else []
    known = raw["replication"] if isinstance(raw["replication"], dict) else {}
    section, _ = parse(Section, {k: v for k, v in known.items() if k in Section.model_fields}, path.name)
    if section is None:
        raise InputError(faults)
    checks, results = [], []
    try:
        tables = read_tables(PACKAGE_TABLES if section.tables == "package" else path.parent / section.tables)
    except InputError as error:
        raise InputError([*faults, *error.faults]) from None
    reviews = sorted({r["meta_id"] for r in tables.rows.get("pooled", [])})
    if section.review not in reviews:
        problem = f"{shown(section.review)} is not in pooled.csv"
        faults.append(Fault(path.name, "key replication.review", problem, choices(section.review, reviews)))
    for i, raw_check in enumerate(section.checks):
        if len(faults) > MOST_SOUGHT:
            break
        place = Place(tables, section.review, path.name, f"key replication.checks.{i}")
        check, found = _check(raw_check, place)
        try:
            checks.append(check)
            results += [run_check(check, place)] if check else []
        except InputError as error:
            found += error.faults
        follows = f"{place.where}.published" if section.review not in reviews else ""
        faults += [f for f in found if f.where != follows]
    if faults:
        raise InputError(faults)
    return Replication(own_name, file.question, section, tables, tuple(checks), tuple(results))


def _check(raw: dict, place: Place) -> tuple[Check | None, list[Fault]]:
    """Parse one check by its kind; where its grammar is faulty, look at its rows all the same."""
    kind = raw.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        problem = "is missing" if kind is None else f"{shown(kind)} is not a kind of check"
        return None, [Fault(place.file, f"{place.where}.kind", problem, choices(kind, KINDS))]
    check, faults = parse(KINDS[kind][0], raw, place.file)
    own = [f.where.removeprefix("key ") if f.where.startswith("key ") else "" for f in faults]
    faults = [
        dataclasses.replace(f, where=".".join(filter(None, (place.where, key))))
        for f, key in zip(faults, own, strict=True)
    ]
    return check, faults if check else faults + faults_of_rows(raw, place)


def summary(replication: Replication) -> dict:
    """Return what `gmfmsim check` says of a replication."""
    return {
        "experiment": replication.name,
        "key": replication.key,
        "question": replication.question,
        "plans": [],
        "checks": [{"kind": r.kind, "title": r.title} for r in replication.results],
        "config": replication.config,
    }


def answer(replication: Replication) -> dict:
    """Return answer.json: the sentence, the counts by verdict, how many of the reproduced are circular,
    and every check with its figures and rows."""
    verdicts = Counter(r.verdict for r in replication.results)
    return {
        "experiment": replication.name,
        "key": replication.key,
        "question": replication.question,
        "review": replication.section.review,
        "sentence": sentence(replication),
        "verdicts": {v: verdicts[v] for v in VERDICTS},
        "circular": sum(r.circular is not None and r.verdict == "reproduced" for r in replication.results),
        "checks": [_as_dict(r) for r in replication.results],
        "disclaimer": DISCLAIMER,
    }


def sentence(replication: Replication) -> str:
    """Say in a sentence or two what follows from the figures of the trials and what does not."""
    results = replication.results
    of_verdict = {v: [r for r in results if r.verdict == v] for v in VERDICTS}
    good, bad, beside, closed = (of_verdict[v] for v in VERDICTS)
    text = []
    if good or bad:
        solved = sum(r.circular is not None for r in good)
        reservation = f", {solved} of them with an input that is the review's own" if solved else ""
        checks = f"{len(good)} of {len(good) + len(bad)} checks of {replication.section.review}"
        text.append(f"Reproduced: {checks}{reservation}.")
    for words, group in (("Not reproduced", bad), ("Cannot be reproduced", closed), ("Benchmark only", beside)):
        if group:
            text.append(f"{words}: {'; '.join(r.title for r in group)}.")
    text += [_other_readings(r) for r in results if r.kind == "pooled_smd" and r.variants]
    return " ".join(text)


def _other_readings(result: CheckResult) -> str:
    """Say how far the pooled effect and its heterogeneity move under the other readings of a check."""
    ranges = []
    for name, words, form in (("estimate", "the pooled SMD", "{:.2f}"), ("i2_pct", "I2", "{:.1f} %")):
        printed = result.figure(name).published
        values = [f.computed for v in result.variants for f in v.figures if f.name == name]
        low, high = (form.format(x) for x in (min(values), max(values)))
        ranges.append(f"{words} is {low} to {high}" + (f" (printed: {form.format(printed)})" if printed else ""))
    return f"{result.title}, read otherwise: {' and '.join(ranges)}."


def _as_dict(result: CheckResult) -> dict:
    """Return a check as plain values, with what its properties say."""

    def figures(of) -> list[dict]:
        return [dataclasses.asdict(f) | {"difference": _rounded(f.difference), "agrees": f.agrees} for f in of.figures]

    plain = dataclasses.asdict(result) | {"figures": figures(result)}
    plain["variants"] = [v | {"figures": figures(o)} for v, o in zip(plain["variants"], result.variants, strict=True)]
    return {"kind": result.kind, "title": result.title, "verdict": result.verdict} | plain


def _rounded(value: float | None) -> float | None:
    """Return a difference of decimals without the noise of binary."""
    return None if value is None else round(value, 10)


def write_result(replication: Replication, draft: Path, progress: Silent) -> None:
    """Write answer, figures, report, resolved configuration and manifest into the draft folder."""
    from gmfmsim.report.rerun import write_report

    started = time.perf_counter()
    progress.stage(f"{replication.section.review}: {len(replication.results)} checks; figures and page")
    if replication.tables_copy:
        copy_tables(replication.tables, draft / replication.tables_copy)
    (draft / "config.toml").write_text(tomli_w.dumps(replication.config), encoding="utf-8")
    found = answer(replication)
    store.write_json(draft / "answer.json", found)
    write_report(draft, found)
    seconds = time.perf_counter() - started
    manifest = provenance(replication, PACKAGES, seconds)
    manifest |= {"evidence_sha256": replication.tables.sha256, "verdicts": found["verdicts"]}
    store.write_manifest(draft, manifest)
