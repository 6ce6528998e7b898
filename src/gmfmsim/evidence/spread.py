"""How much children differ: the standard deviations of GMFM change that the field reports, and what they predict."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import NamedTuple

from gmfmsim.evidence.formulas.classical import pool
from gmfmsim.evidence.formulas.conversions import Z975, Z995
from gmfmsim.evidence.formulas.effect_sizes import log_sd
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.schema import Row, Tables

WINDOWS = ((0, 2), (2, 4.5), (4.5, 9), (9, 18), (18, math.inf))
"""Months (above, up to) that are taken together: the SD of change grows with time, and few trials share a visit."""

VISITS = (1, 3, 6, 12, 24)
"""A month in each window."""

PRIMARY_MONTH = 12
"""The month of the primary endpoint of most trials."""

FEWEST = 3
"""Studies that make a field; of two, the variance between studies cannot be told."""

SOURCES = ("reported", "from_se", "from_ci", "from_contrast_ci", "from_range")
"""Ways to an SD, the most direct first. Where arms hold the same children, the most direct figure is kept."""


class StudySpread(NamedTuple):
    """One study about one month: log of its SD on a 0-100 scale, sampling variance, and the rows it came from."""

    study: str
    log_sd: float
    variance: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class SpreadField:
    """The SD of change in a further trial: log SD ~ Normal(log median, log_sd), in points of a 0-100 GMFM scale.

    Normal although a handful of studies make it: with k - 2 degrees of freedom the tails would be longer, and a study
    be called out of line less readily. borrowed: the studies are those of the shipped evidence, since a user's own
    tables hold too few; it says where the field is from and is no part of what it is.
    """

    median: float
    log_sd: float
    k_arms: int
    k_studies: int
    borrowed: bool = field(default=False, compare=False)

    def z(self, spread: float, variance: float = 0.0) -> float:
        """Return how far a log SD with a sampling variance lies from the median, in standard deviations."""
        return (spread - math.log(self.median)) / math.hypot(self.log_sd, math.sqrt(variance))

    def interval(self, z: float = Z975) -> tuple[float, float]:
        """Return the central interval of the SD, median x exp(-+ z log_sd), by default of probability 0.95."""
        return self.median * math.exp(-z * self.log_sd), self.median * math.exp(z * self.log_sd)


def spread_field(tables: Tables, month: float, without_study: str | None = None) -> SpreadField:
    """Return the field's distribution of the SD of GMFM change about a month, without one study.

    A study's log SD is the mean over its arms of ln sd + 1/(2(n - 1)) (`log_sd`), weighted by 1/variance, so that arms
    of one study share its random effect; studies are pooled by REML. For a further study
    log_sd^2 = tau^2 + se^2. Arms enter as `study_spreads` says; studies that are `out_of_line` are left out.

    With fewer than three studies in the window of this month, the shipped tables are the field; and where these have
    fewer than three, the windows next to it join, the nearest first. `borrowed` says so.

    Raises ValueError for a month below 0 or without end.
    """
    found = next(judging_fields(study_spreads(tables, month), month, without_study, out_of_line(tables)), None)
    own = tables.sha256 == shipped_tables().sha256
    return found or replace(_widened(window(month), without_study), borrowed=not own)


def judging_fields(
    spreads: list[StudySpread], month: float, without_study: str | None, out: frozenset[str]
) -> Iterator[SpreadField]:
    """Yield the fields that can judge one study in one window: its own tables' and, `borrowed`, the shipped ones'.

    Each is made by three studies at least. Both judge, since a mistake that all of a file shares is the rule of that
    file; for the shipped tables they are one.
    """
    shipped, shipped_out = _shipped(window(month))
    before = None
    for source, left_out, borrowed in ((spreads, out, False), (shipped, shipped_out, True)):
        kept = [s for s in source if s.study not in left_out | {without_study}]
        if len(kept) >= FEWEST and (found := field_of(kept)) != before:
            before = found
            yield replace(found, borrowed=borrowed)


def field_of(spreads: Iterable[StudySpread]) -> SpreadField:
    """Pool studies to the field: the predictive distribution of log SD in a further one."""
    spreads = list(spreads)
    median, log_sd = _pooled(tuple(s.log_sd for s in spreads), tuple(s.variance for s in spreads))
    return SpreadField(median, log_sd, sum(len(s.rows) for s in spreads), len(spreads))


@lru_cache(maxsize=1000)
def _pooled(log_sds: tuple[float, ...], variances: tuple[float, ...]) -> tuple[float, float]:
    """Return median and log SD of a field; the audit asks for the same ones again and again."""
    pooled = pool(log_sds, variances, "REML")
    return math.exp(pooled.estimate), math.hypot(math.sqrt(pooled.tau2), pooled.se)


def study_spreads(tables: Tables, month: float) -> list[StudySpread]:
    """Return the studies that report an SD of GMFM change in the window of `month`, each with its arms.

    Rows: kind change, preferred, with n, sd and scale_max, on a GMFM scale counted from baseline. No child enters
    twice: of arms that hold the same children the one with the most direct SD, then the largest, is kept. Arms hold
    the same children where one is composite_of others, where they share a control_group, and where they are more
    than n_enrolled.
    """
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    wanted = window(month)
    for row in sorted(filter(is_change_sd, tables.where("outcomes")), key=_directness):
        if window(row["month"]) == wanted:
            found[row["study_id"]].setdefault(row["arm_id"], row)
    groups = dict(sorted(((r["study_id"], r["arm_b"]), r["control_group"] or "") for r in tables.rows["contrasts"]))
    enrolled = {s["study_id"]: s["n_enrolled"] for s in tables.rows["studies"]}
    parts = {(a["study_id"], a["arm_id"]): a["composite_of"] for a in tables.rows["arms"] if a["composite_of"]}
    used: set[str] = set()
    spreads = []
    for study, arms in sorted(found.items()):
        free, kept = enrolled.get(study) or math.inf, []
        for arm, row in arms.items():
            whole = parts.get((study, arm))
            group = groups.get((study, arm)) or f"{study}:{arm}"
            if (whole and set(whole.split(";")) & set(arms)) or group in used or row["n"] > free:
                continue
            free -= row["n"]
            used.add(group)
            kept.append(row)
        if kept:
            logs = [log_sd(sd100(row), row["n"]) for row in kept]
            variance = 1 / sum(1 / arm.variance for arm in logs)
            mean = variance * sum(arm.estimate / arm.variance for arm in logs)
            spreads.append(StudySpread(study, float(mean), float(variance), tuple(kept)))
    return spreads


@lru_cache(maxsize=4)
def out_of_line(tables: Tables) -> frozenset[str]:
    """Return the studies whose SD lies outside the 99 % range of the others at one of its months.

    One at a time, the farthest first, until none is left: a study that is out of line does not widen the field that
    others are judged by. A study is judged where three others report in the same window, and is out at all months.
    Beside the shipped tables a user's own studies alone are judged: a pilot does not put trials of the field out of it.
    """
    by_window = [study_spreads(tables, visit) for visit in VISITS]
    settled = shipped_tables() if shipped_tables() in tables.parts else None
    out = set(out_of_line(settled)) if settled else set()
    judged = {spread.study for spreads in by_window for spread in spreads} - set(settled.studies if settled else ())
    while True:
        distance: dict[str, float] = {}
        for spreads in by_window:
            kept = [s for s in spreads if s.study not in out]
            for spread in (s for s in kept if s.study in judged) if len(kept) > FEWEST else ():
                z = abs(field_of(s for s in kept if s is not spread).z(spread.log_sd, spread.variance))
                distance[spread.study] = max(z, distance.get(spread.study, 0))
        worst = max(sorted(distance), key=distance.__getitem__, default=None)
        if worst is None or distance[worst] <= Z995:
            return frozenset(out)
        out.add(worst)


def is_change_sd(row: Row) -> bool:
    """Return whether a row of outcomes.csv holds an SD of GMFM change from baseline that can be put on 0-100."""
    return (
        row["kind"] == "change"
        and row["preferred"] == "yes"
        and row["scale"].startswith("GMFM")
        and "interval" not in row["scale"]  # change between two later visits
        and row["sd_source"] != "none"
        and None not in (row["sd"], row["n"], row["scale_max"])
        and row["n"] > 1
        and row["month"] != 0
    )


def sd100(row: Row) -> float:
    """Return the SD of a row on a 0-100 scale: 100 sd / scale_max."""
    return 100 * row["sd"] / row["scale_max"]


def window(month: float) -> int:
    """Return which of WINDOWS holds a month; one that is not known (NaN) counts as the primary endpoint's, 12.

    Raises ValueError for a month below 0 or without end.
    """
    month = PRIMARY_MONTH if math.isnan(month) else month
    if not 0 <= month < math.inf:
        raise ValueError(f"month {month!r}: must be from 0 up, or NaN where it is not known")
    return next(i for i, (_, high) in enumerate(WINDOWS) if month <= high)


def _directness(row: Row) -> tuple:
    """Order rows of one study: the most direct SD, the largest arm, the latest month; then whatever decides a tie."""
    return SOURCES.index(row["sd_source"]), -row["n"], -row["month"], row["arm_id"], row["scale"]


@cache
def shipped_tables() -> Tables:
    """Return the tables of the package, read once: the field that a user's own tables are held against."""
    return read_tables()


@cache
def _shipped(centre: int) -> tuple[list[StudySpread], frozenset[str]]:
    """Return the shipped tables' studies in one window, and those that are out of line."""
    return study_spreads(shipped_tables(), VISITS[centre]), out_of_line(shipped_tables())


@cache
def _widened(centre: int, without_study: str | None) -> SpreadField:
    """Return the shipped tables' field of one window, joined by the nearest others until it has enough studies."""
    found: dict[str, StudySpread] = {}
    for distance in range(len(WINDOWS)):
        if len(found) < FEWEST:
            for near in (i for i in range(len(WINDOWS)) if abs(i - centre) == distance):
                spreads, out = _shipped(near)
                for spread in spreads:
                    if spread.study not in out | {without_study}:
                        found.setdefault(spread.study, spread)
    return field_of(found.values())
