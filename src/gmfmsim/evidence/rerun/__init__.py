"""What a review prints, computed again from the figures of its trials: one check, one frozen result."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from gmfmsim.evidence.formulas.classical import p_from_interval
from gmfmsim.evidence.formulas.conversions import se_from_ci
from gmfmsim.evidence.rerun import checks
from gmfmsim.evidence.rerun.checks import Arms, Check, CheckResult, Figure, Trial
from gmfmsim.evidence.rerun.events import event_totals, read_events, risk_ratio
from gmfmsim.evidence.rerun.pools import benchmark, dose_slope, pooled_smd, read_trial
from gmfmsim.evidence.rerun.rows import INTERVAL, Place, gathered, result_of, unit_of
from gmfmsim.evidence.schema import RATIOS
from gmfmsim.faults import Fault, InputError
from gmfmsim.files.toml import parse


def run_check(check: Check, place: Place) -> CheckResult:
    """Compute one check from the rows it names.

    Raises InputError with every row that does not exist, is not unique or lacks a figure, and for figures from which
    nothing can be computed.
    """
    try:
        with np.errstate(all="ignore"):  # what overflows is refused below, by the formula that meets it
            return KINDS[check.kind][1](check, place)
    except (ValueError, ArithmeticError) as error:
        raise place.fault(str(error), "figures from which the check can be computed") from None


def faults_of_rows(raw: dict, place: Place) -> list[Fault]:
    """Return what is wrong with the rows that a check of faulty grammar names, as far as they can be read."""
    jobs = []
    if isinstance(raw.get("published"), dict):
        published, _ = parse(Check, {"title": "?", "published": raw["published"]}, place.file)
        jobs += [partial(place.published_row, published)] if published else []
    trials = raw.get("trials")
    for i, given in enumerate(trials if isinstance(trials, list) else []):
        trial, _ = parse(Trial if raw["kind"] == "pooled_smd" else Arms, given, place.file)
        here = place.at(f"trials.{i}")
        if isinstance(trial, Trial):
            jobs.append(partial(read_trial, trial, here, "cohen_d"))
        elif trial and isinstance(raw.get("event"), str):
            jobs.append(partial(read_events, trial, here, raw["event"]))
    try:
        with np.errstate(all="ignore"):
            gathered(jobs)
    except InputError as error:
        return list(error.faults)
    except (ValueError, ArithmeticError):  # figures that cannot be: said once the grammar is right
        pass
    return []


def _p_value(check: checks.PValue, place: Place) -> CheckResult:
    row = place.published_row(check, *INTERVAL, *(() if check.p else ("p",)))
    printed, qualifier = (check.p, "=") if check.p else (row["p"], row["p_qualifier"] or "=")
    p = p_from_interval(*(row[k] for k in INTERVAL), log=row["measure"] in RATIOS)
    figures = (
        *(Figure(name, row[name], None) for name in INTERVAL),
        Figure("p", printed, p, unit_of(printed) / 2, qualifier),
    )
    result = result_of(check, row, figures, "half a unit of the last printed place")
    return replace(result, note=" ".join(filter(None, (check.note, check.because))) or None)


def _not_reproducible(check: checks.NotReproducible, place: Place) -> CheckResult:
    row = place.published_row(check)
    names = (*INTERVAL, "i2_pct", "k_studies", "n_total", "p")
    figures = [Figure(name, row[name], None) for name in names if row[name] is not None]
    if None not in (row[k] for k in INTERVAL) and row["measure"] not in RATIOS:
        figures.append(Figure("se", None, float(se_from_ci(row["ci_low"], row["ci_high"]))))
        if row["p"] is None:
            figures.append(Figure("p", None, p_from_interval(*(row[k] for k in INTERVAL))))
    result = result_of(check, row, tuple(figures), "none: nothing is held against the print")
    return replace(result, note=" ".join(filter(None, (check.because, check.note))))


KINDS: dict[str, tuple[type[Check], Callable[[Check, Place], CheckResult]]] = {
    "pooled_smd": (checks.PooledSmd, pooled_smd),
    "risk_ratio": (checks.RiskRatio, risk_ratio),
    "event_totals": (checks.EventTotals, event_totals),
    "p_value": (checks.PValue, _p_value),
    "benchmark": (checks.Benchmark, benchmark),
    "dose_slope": (checks.DoseSlope, dose_slope),
    "not_reproducible": (checks.NotReproducible, _not_reproducible),
}
"""Every kind of check: its grammar and the function that computes it."""
