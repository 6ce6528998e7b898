"""Children with an event: risk ratios and totals over the trials of a review."""

import math
from functools import partial

from gmfmsim.evidence.audit.finding import listed
from gmfmsim.evidence.formulas.classical import mantel_haenszel_risk_ratio
from gmfmsim.evidence.rerun.checks import Arms, CheckResult, EventTotals, Figure, RiskRatio, Variant
from gmfmsim.evidence.rerun.result import INTERVAL, check_roles, published_row, result_of, unit_of, used
from gmfmsim.evidence.rerun.rows import Place, gathered, one_row


def risk_ratio(check: RiskRatio, place: Place) -> CheckResult:
    """Compute the Mantel-Haenszel risk ratio of the named trials against the printed one."""
    row = published_row(check, place, *INTERVAL)
    jobs = (partial(read_events, t, check.event, place.at(f"trials.{i}")) for i, t in enumerate(check.trials))
    trials = gathered(jobs)
    uncontrolled = [t["study"] for t in trials if len(t["values"]["n"]) < 2]
    if uncontrolled:
        raise place.at("trials").fault(f"{', '.join(uncontrolled)} without control", "two arms, active and control")
    half = unit_of(*(row[k] for k in INTERVAL)) / 2
    figures = [Figure(k, row[k], x, half) for k, x in zip(INTERVAL, _ratio(trials), strict=True)]
    figures.append(Figure("n_total", row["n_total"], sum(sum(t["values"]["n"]) for t in trials), 0))
    return result_of(check, row, tuple(figures), "half a unit of the last printed place; counts: none", trials)


def event_totals(check: EventTotals, place: Place) -> CheckResult:
    """Add up children and events over the named trials against the printed totals and per cents."""
    jobs = {
        f"trials.{i}": partial(read_events, t, check.event, place.at(f"trials.{i}")) for i, t in enumerate(check.trials)
    }
    jobs |= {
        f"beside.{i}": partial(read_events, t, check.event, place.at(f"beside.{i}")) for i, t in enumerate(check.beside)
    }
    if check.total:
        jobs["total"] = partial(read_events, check.total, check.event, place.at("total"))
    for i, claim in enumerate(check.percent or ()):
        cells = {"study_id": place.review, "claim_id": claim}
        jobs[f"percent.{i}"] = partial(one_row, "claims", cells, place.at("percent"))
    if check.published:
        jobs["published"] = partial(published_row, check, place)
    found = dict(zip(jobs, gathered(jobs.values()), strict=True))
    trials, beside = ([x for name, x in found.items() if name.startswith(kind)] for kind in ("trials.", "beside."))
    printed = found["total"]["values"] if check.total else {"events": [None, None], "n": [None, None]}
    both = [t for t in trials if len(t["values"]["n"]) == 2]
    if not both or any(len(t["values"]["n"]) < 2 for t in [*beside, *([found["total"]] if check.total else [])]):
        allowed = "two arms in at least one trial, and in every trial beside and the total"
        raise place.at("trials").fault("no control arm", allowed)
    figures, sums = [], {}
    for arm, name in enumerate(("active", "control")):
        own = [t["values"] for t in trials if len(t["values"]["n"]) > arm]
        for what in ("events", "n"):
            sums[what, arm] = sum(v[what][arm] for v in own)
            figures.append(Figure(f"{what}_{name}", printed[what][arm], sums[what, arm], 0))
    for arm, name in enumerate(("active", "control")):
        claim = found[f"percent.{arm}"]["low"] if check.percent else None
        share = 100 * sums["events", arm] / sums["n", arm]
        figures.append(Figure(f"percent_{name}", claim, share, None if claim is None else unit_of(claim) / 2))
    if all(sums["events", arm] for arm in (0, 1)):
        crude = [{"values": {what: [sums[what, arm] for arm in (0, 1)] for what in ("events", "n")}}]
        figures += [Figure(k, None, x) for k, x in zip(INTERVAL, _ratio(crude), strict=True)]
    variants = []
    if len(trials) > 1:
        variants += _within_trials("within trials", "Only trials with both arms say anything about a ratio", both)
    if beside:
        studies = {t["study"] for t in beside}
        label = f"within trials, with the control of {listed(sorted(studies))}"
        why = "The review counts no control there, events.csv has one"
        variants += _within_trials(label, why, [t for t in both if t["study"] not in studies] + beside)
    reason = "counts: none; per cent: half a unit of the last printed place"
    return result_of(check, found.get("published"), tuple(figures), reason, trials, variants)


def _within_trials(label: str, why: str, trials: list[dict]) -> list[Variant]:
    """Return the Mantel-Haenszel ratio over trials with both arms, naming those that have events; none without."""
    if not all(any(t["values"]["events"][arm] for t in trials) for arm in (0, 1)):
        return []
    telling = [t["study"] for t in trials if any(t["values"]["events"])]
    figures = tuple(Figure(k, None, x) for k, x in zip(INTERVAL, _ratio(trials), strict=True))
    reason = f"{why}; of {len(trials)} there are events in {listed(telling)}."
    return [Variant(f"{label} (Mantel-Haenszel)", reason, figures, tuple(trials))]


def read_events(arms: Arms, event: str, place: Place) -> dict:
    """Return a trial's rows of one event, with children and events by arm."""
    cells = [{"study_id": arms.study, "arm_id": arm, "event": event} for arm in arms.arms]
    jobs = [partial(check_roles, arms, place), *(partial(one_row, "events", c, place, arms.preferred) for c in cells)]
    rows = gathered(jobs)[1:]
    lacks = ", ".join(f"row {r['row']} has no {c}" for r in rows for c in ("events", "n") if r[c] is None)
    if lacks:
        raise place.fault(f"{lacks} (events.csv, {arms.study})", "rows with events and n")
    values = {what: [r[what] for r in rows] for what in ("events", "n")}
    return used("events", arms.study, rows, values, "as printed", arms.arms)


def _ratio(trials: list[dict]) -> list[float]:
    """Return the Mantel-Haenszel risk ratio of trials and its interval."""
    a, c = zip(*(t["values"]["events"] for t in trials), strict=True)
    n1, n2 = zip(*(t["values"]["n"] for t in trials), strict=True)
    ratio = mantel_haenszel_risk_ratio(a, n1, c, n2)
    return [math.exp(x) for x in (ratio.estimate, *ratio.ci)]
