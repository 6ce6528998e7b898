"""Children with an event: risk ratios and totals over the trials of a review."""

import math
from functools import partial

from gmfmsim.evidence.audit.finding import listed
from gmfmsim.evidence.formulas.classical import mantel_haenszel_risk_ratio
from gmfmsim.evidence.rerun.checks import Arms, CheckResult, EventTotals, Figure, RiskRatio, Variant
from gmfmsim.evidence.rerun.rows import INTERVAL, Place, gathered, interval, result_of, unit_of, used


def risk_ratio(check: RiskRatio, place: Place) -> CheckResult:
    """Compute the Mantel-Haenszel risk ratio of the named trials against the printed one."""
    row = place.published_row(check, *INTERVAL)
    (trials,) = gathered(place.each("trials", read_events, check.trials, check.event))
    uncontrolled = [t["study"] for t in trials if len(t["values"]["n"]) < 2]
    if uncontrolled:
        raise place.at("trials").fault(f"{', '.join(uncontrolled)} without control", "two arms, active and control")
    children = Figure("n_total", row["n_total"], sum(sum(t["values"]["n"]) for t in trials), 0)
    figures = (*interval(_ratio(trials), row, unit_of(*(row[k] for k in INTERVAL)) / 2), children)
    return result_of(check, row, figures, "half a unit of the last printed place; counts: none", trials)


def event_totals(check: EventTotals, place: Place) -> CheckResult:
    """Add up children and events over the named trials against the printed totals and per cents."""
    claims = [{"study_id": place.review, "claim_id": claim} for claim in check.percent or ()]
    trials, beside, total, claims, published = gathered(
        place.each("trials", read_events, check.trials, check.event),
        place.each("beside", read_events, check.beside, check.event),
        [partial(read_events, check.total, place.at("total"), check.event)] if check.total else [],
        [partial(place.at("percent").one_row, "claims", cells) for cells in claims],
        [partial(place.published_row, check)] if check.published else [],
    )
    both = [t for t in trials if len(t["values"]["n"]) == 2]
    if not both or any(len(t["values"]["n"]) < 2 for t in beside + total):
        allowed = "two arms in at least one trial, and in every trial beside and the total"
        raise place.at("trials").fault("no control arm", allowed)
    printed = total[0]["values"] if total else {"events": [None, None], "n": [None, None]}
    counts, shares, sums = [], [], {"events": [], "n": []}
    for arm, name in enumerate(("active", "control")):
        own = [t["values"] for t in trials if len(t["values"]["n"]) > arm]
        for what, added in sums.items():
            added.append(sum(v[what][arm] for v in own))
            counts.append(Figure(f"{what}_{name}", printed[what][arm], added[arm], 0))
        claim = claims[arm]["low"] if claims else None
        share = 100 * sums["events"][arm] / sums["n"][arm]
        shares.append(Figure(f"percent_{name}", claim, share, None if claim is None else unit_of(claim) / 2))
    crude = interval(_ratio([{"values": sums}])) if all(sums["events"]) else ()
    variants = []
    if len(trials) > 1:
        variants += _within_trials("within trials", "Only trials with both arms say anything about a ratio", both)
    if beside:
        studies = {t["study"] for t in beside}
        label = f"within trials, with the control of {listed(sorted(studies))}"
        why = "The review counts no control there, events.csv has one"
        variants += _within_trials(label, why, [t for t in both if t["study"] not in studies] + beside)
    reason = "counts: none; per cent: half a unit of the last printed place"
    return result_of(check, next(iter(published), None), (*counts, *shares, *crude), reason, trials, variants)


def _within_trials(label: str, why: str, trials: list[dict]) -> list[Variant]:
    """Return the Mantel-Haenszel ratio over trials with both arms, naming those that have events; none without."""
    if not all(any(t["values"]["events"][arm] for t in trials) for arm in (0, 1)):
        return []
    telling = [t["study"] for t in trials if any(t["values"]["events"])]
    reason = f"{why}; of {len(trials)} there are events in {listed(telling)}."
    return [Variant(f"{label} (Mantel-Haenszel)", reason, interval(_ratio(trials)), tuple(trials))]


def read_events(arms: Arms, place: Place, event: str) -> dict:
    """Return a trial's rows of one event, with children and events by arm."""
    counts = ("events", "n")
    rows = place.rows_of_arms(arms, "events", {"event": event}, counts, "rows with events and n")
    return used("events", arms.study, rows, {c: [r[c] for r in rows] for c in counts}, "as printed", arms.arms)


def _ratio(trials: list[dict]) -> list[float]:
    """Return the Mantel-Haenszel risk ratio of trials and its interval."""
    a, c = zip(*(t["values"]["events"] for t in trials), strict=True)
    n1, n2 = zip(*(t["values"]["n"] for t in trials), strict=True)
    ratio = mantel_haenszel_risk_ratio(a, n1, c, n2)
    return [math.exp(x) for x in (ratio.estimate, *ratio.ci)]
