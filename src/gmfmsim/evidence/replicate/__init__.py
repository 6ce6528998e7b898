"""Replicate what a review prints from the figures of its trials: one check, one frozen result."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from gmfmsim.evidence.audit.finding import listed
from gmfmsim.evidence.classical import mantel_haenszel_risk_ratio, p_from_interval, pool
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.conversions import Z975, sd_from_se, se_from_ci, t_test_p
from gmfmsim.evidence.effect_sizes import cohen_d, hedges_g
from gmfmsim.evidence.printed import half_unit
from gmfmsim.evidence.read import Row
from gmfmsim.evidence.replicate.checks import (
    Arms,
    Benchmark,
    Check,
    CheckResult,
    DoseSlope,
    EventTotals,
    Figure,
    NotReproducible,
    PooledSmd,
    PValue,
    Reading,
    RiskRatio,
    Trial,
    Variant,
)
from gmfmsim.evidence.replicate.rows import Place, gathered, one_row
from gmfmsim.evidence.spread import spread_field
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.spec import parse

EFFECTS = {"cohen_d": cohen_d, "hedges_g": hedges_g}
RATIOS = ("RR", "OR")
INTERVAL = ("estimate", "ci_low", "ci_high")


def replicate(check: Check, place: Place) -> CheckResult:
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
        jobs += [partial(_published, published, place)] if published else []
    trials = raw.get("trials")
    for i, given in enumerate(trials if isinstance(trials, list) else []):
        trial, _ = parse(Trial if raw["kind"] == "pooled_smd" else Arms, given, place.file)
        here = place.at(f"trials.{i}")
        if isinstance(trial, Trial):
            jobs.append(partial(_trial, trial, "cohen_d", here))
        elif trial and isinstance(raw.get("event"), str):
            jobs.append(partial(_events, trial, raw["event"], here))
    try:
        with np.errstate(all="ignore"):
            gathered(jobs)
    except InputError as error:
        return list(error.faults)
    except (ValueError, ArithmeticError):  # figures that cannot be: said once the grammar is right
        pass
    return []


def _pooled_smd(check: PooledSmd, place: Place) -> CheckResult:
    row, *found = gathered(
        [
            partial(_published, check, place, *INTERVAL),
            *(partial(_trial, t, check.effect, place.at(f"trials.{i}")) for i, t in enumerate(check.trials)),
            *(partial(_reread, r, check, place.at(f"variants.{i}")) for i, r in enumerate(check.variants)),
        ]
    )
    trials, others = found[: len(check.trials)], found[len(check.trials) :]
    variants = []
    for reading, other in zip(check.variants, others, strict=True):
        kept = [other.get(t["study"], t) for t in trials if t["study"] not in reading.without]
        figures = [f for f in _pooled_figures(kept, check, row) if f.name not in ("k_studies", "n_total")]
        variants.append(Variant(reading.label, reading.because, tuple(figures), tuple(kept)))
    circular = dict.fromkeys(filter(None, [*(t.circular for t in check.trials), check.circular]))
    reason = "one unit of the last printed place: half for the print, half for inputs that are printed rounded"
    result = _result(check, row, _pooled_figures(trials, check, row), reason, trials, variants)
    return replace(result, circular=" ".join(circular) or None)


def _reread(reading: Reading, check: PooledSmd, place: Place) -> dict[str, dict]:
    """Return the trials that a reading replaces, by study."""
    known = [t.study for t in check.trials]
    found = gathered(
        [
            *(partial(_among, s, known, place.at("without")) for s in reading.without),
            *(partial(_among, t.study, known, place.at("replace")) for t in reading.replace),
            *(partial(_trial, t, check.effect, place.at(f"replace.{i}")) for i, t in enumerate(reading.replace)),
        ]
    )
    if set(known) <= set(reading.without):
        raise place.at("without").fault("leaves no trial", "at least one trial")
    return {t["study"]: t for t in found if t}


def _pooled_figures(trials: list[dict], check: PooledSmd, row: Row) -> tuple[Figure, ...]:
    """Pool the effects of trials and hold them against the printed figures."""
    values = [t["values"] for t in trials]
    pooled = pool([v["effect"] for v in values], [v["se"] ** 2 for v in values], check.estimator)
    unit = _unit(*(row[k] for k in INTERVAL))
    i2 = None if pooled.i2 is None else 100 * pooled.i2
    return (
        *(Figure(k, row[k], x, unit) for k, x in zip(INTERVAL, (pooled.estimate, *pooled.ci), strict=True)),
        Figure("i2_pct", row["i2_pct"], i2, _unit(row["i2_pct"])),
        Figure("tau2", row["tau2"], pooled.tau2, _unit(row["tau2"])),
        Figure("k_studies", row["k_studies"], len(trials), 0),
        Figure("n_total", row["n_total"], sum(sum(v["n"]) for v in values), 0),
    )


def _trial(trial: Trial, effect: str, place: Place) -> dict:
    """Return a trial's rows with its effect, standard error and children."""
    rows = gathered([partial(_roles, trial, place), *(partial(_outcome, trial, arm, place) for arm in trial.arms)])[1:]
    n = trial.n or [r["n"] for r in rows]
    needed = () if trial.given is not None else ("mean",) if trial.sd else ("mean", "sd")
    missing = [(r, c) for r in rows for c in (*needed, *(() if trial.n else ("n",))) if r[c] is None]
    if missing:
        lacks = ", ".join(f"row {r['row']} has no {c}" for r, c in missing)
        allowed = "rows that print them, sd with because, or given with circular"
        raise place.fault(f"{lacks} (outcomes.csv, {trial.study})", allowed)
    taken = trial.sd
    if taken == "field":  # in points of the scale, the field's on 0-100
        taken = spread_field(place.tables, trial.month, trial.study).median * (rows[0]["scale_max"] or 100) / 100
    sd = [taken] * 2 if taken else [r["sd"] for r in rows]
    reading = f"SD {taken:.3g} taken: {trial.because.rstrip('.')}" if taken else "as printed"
    if trial.spread == "se":
        sd, reading = [float(sd_from_se(s, k)) for s, k in zip(sd, n, strict=True)], "spread read as a standard error"
    mean = [r["mean"] for r in rows]
    if trial.given is None:
        y, v = EFFECTS[effect](mean[0], sd[0], n[0], mean[1], sd[1], n[1])
    else:
        # the variance of d depends on d and n alone: one SD of 1 and means d apart
        (y, v), reading = EFFECTS["cohen_d"](trial.given, 1, n[0], 0, 1, n[1]), f"given: {trial.circular.rstrip('.')}"
        mean = sd = [None, None]
    if trial.n:
        reading += f"; n taken: {(trial.because or trial.circular).rstrip('.')}"
    values = {"effect": float(y), "se": math.sqrt(v), "mean": mean, "sd": sd, "n": n}
    return _input("outcomes", trial.study, rows, values, reading, trial.arms)


def _roles(arms: Arms, place: Place) -> None:
    """Raise InputError unless the first arm had cells and the second none: else the sign of the effect would turn."""
    roles = {row["arm_id"]: row["role"] for row in place.tables.where("arms", study_id=arms.study)}
    expected = dict(zip(("active", "control"), arms.arms, strict=False))
    wrong = [f"{arm} ({roles[arm]})" for role, arm in expected.items() if roles.get(arm, role) != role]
    if wrong:
        allowed = "the arm with cells, then its control"
        raise place.fault(f"{', '.join(wrong)} of {arms.study} in the wrong place", allowed)


def _outcome(trial: Trial, arm: str, place: Place) -> Row:
    cells = {"study_id": trial.study, "arm_id": arm, "kind": "change", "scale": trial.scale, "month": trial.month}
    return one_row("outcomes", cells, place, trial.preferred)


def _risk_ratio(check: RiskRatio, place: Place) -> CheckResult:
    row = _published(check, place, *INTERVAL)
    jobs = (partial(_events, t, check.event, place.at(f"trials.{i}")) for i, t in enumerate(check.trials))
    trials = gathered(jobs)
    uncontrolled = [t["study"] for t in trials if len(t["values"]["n"]) < 2]
    if uncontrolled:
        raise place.at("trials").fault(f"{', '.join(uncontrolled)} without control", "two arms, active and control")
    half = _unit(*(row[k] for k in INTERVAL)) / 2
    figures = [Figure(k, row[k], x, half) for k, x in zip(INTERVAL, _ratio(trials), strict=True)]
    figures.append(Figure("n_total", row["n_total"], sum(sum(t["values"]["n"]) for t in trials), 0))
    return _result(check, row, tuple(figures), "half a unit of the last printed place; counts: none", trials)


def _event_totals(check: EventTotals, place: Place) -> CheckResult:
    jobs = {
        f"trials.{i}": partial(_events, t, check.event, place.at(f"trials.{i}")) for i, t in enumerate(check.trials)
    }
    jobs |= {
        f"beside.{i}": partial(_events, t, check.event, place.at(f"beside.{i}")) for i, t in enumerate(check.beside)
    }
    if check.total:
        jobs["total"] = partial(_events, check.total, check.event, place.at("total"))
    for i, claim in enumerate(check.percent or ()):
        cells = {"study_id": place.review, "claim_id": claim}
        jobs[f"percent.{i}"] = partial(one_row, "claims", cells, place.at("percent"))
    if check.published:
        jobs["published"] = partial(_published, check, place)
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
        figures.append(Figure(f"percent_{name}", claim, share, None if claim is None else _unit(claim) / 2))
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
    return _result(check, found.get("published"), tuple(figures), reason, trials, variants)


def _within_trials(label: str, why: str, trials: list[dict]) -> list[Variant]:
    """Return the Mantel-Haenszel ratio over trials with both arms, naming those that have events; none without."""
    if not all(any(t["values"]["events"][arm] for t in trials) for arm in (0, 1)):
        return []
    telling = [t["study"] for t in trials if any(t["values"]["events"])]
    figures = tuple(Figure(k, None, x) for k, x in zip(INTERVAL, _ratio(trials), strict=True))
    reason = f"{why}; of {len(trials)} there are events in {listed(telling)}."
    return [Variant(f"{label} (Mantel-Haenszel)", reason, figures, tuple(trials))]


def _events(arms: Arms, event: str, place: Place) -> dict:
    cells = [{"study_id": arms.study, "arm_id": arm, "event": event} for arm in arms.arms]
    jobs = [partial(_roles, arms, place), *(partial(one_row, "events", c, place, arms.preferred) for c in cells)]
    rows = gathered(jobs)[1:]
    lacks = ", ".join(f"row {r['row']} has no {c}" for r in rows for c in ("events", "n") if r[c] is None)
    if lacks:
        raise place.fault(f"{lacks} (events.csv, {arms.study})", "rows with events and n")
    values = {what: [r[what] for r in rows] for what in ("events", "n")}
    return _input("events", arms.study, rows, values, "as printed", arms.arms)


def _ratio(trials: list[dict]) -> list[float]:
    """Return the Mantel-Haenszel risk ratio of trials and its interval."""
    a, c = zip(*(t["values"]["events"] for t in trials), strict=True)
    n1, n2 = zip(*(t["values"]["n"] for t in trials), strict=True)
    ratio = mantel_haenszel_risk_ratio(a, n1, c, n2)
    return [math.exp(x) for x in (ratio.estimate, *ratio.ci)]


def _p_value(check: PValue, place: Place) -> CheckResult:
    row = _published(check, place, *INTERVAL, *(() if check.p else ("p",)))
    printed, qualifier = (check.p, "=") if check.p else (row["p"], row["p_qualifier"] or "=")
    p = p_from_interval(*(row[k] for k in INTERVAL), log=row["measure"] in RATIOS)
    figures = (
        *(Figure(name, row[name], None) for name in INTERVAL),
        Figure("p", printed, p, _unit(printed) / 2, qualifier),
    )
    result = _result(check, row, figures, "half a unit of the last printed place")
    return replace(result, note=" ".join(filter(None, (check.note, check.because))) or None)


def _benchmark(check: Benchmark, place: Place) -> CheckResult:
    row = _published(check, place, *INTERVAL)
    pools = [check, *check.variants]
    places = [place, *(place.at(f"variants.{i}") for i in range(len(check.variants)))]
    chosen = gathered(partial(_contrasts, s.select, here) for s, here in zip(pools, places, strict=True))
    figures = []
    for spec, data in zip(pools, chosen, strict=True):
        pooled = pool([c["values"]["effect"] for c in data], [c["values"]["se"] ** 2 for c in data], spec.estimator)
        computed = zip(INTERVAL, (pooled.estimate, *pooled.ci), strict=True)
        own = [Figure(k, row[k], x, check.within if k == "estimate" else None) for k, x in computed]
        figures.append((*own, Figure("tau2", None, pooled.tau2), Figure("k_studies", None, len(data))))
    variants = [
        Variant(v.label, None, f, tuple(d)) for v, f, d in zip(check.variants, figures[1:], chosen[1:], strict=True)
    ]
    reason = f"within {check.within:g} of the printed estimate is near: other children, other models, other scales"
    return _result(check, row, figures[0], reason, chosen[0], variants)


def _dose_slope(check: DoseSlope, place: Place) -> CheckResult:
    row = _published(check, place)
    chosen = _contrasts(check.select, place, independent=False)
    data = _selected(check.select, place)
    slope, se = _slope(data, check.tau)
    figures = (
        Figure("estimate", row["estimate"], slope),
        Figure("ci_low", row["ci_low"], slope - Z975 * se),
        Figure("ci_high", row["ci_high"], slope + Z975 * se),
        Figure("se", None, se),
        Figure("p", row["p"], float(t_test_p(slope, se)), None, row["p_qualifier"] or "="),
        Figure("k_studies", None, len(chosen)),
    )
    return _result(check, row, figures, "the sign alone: the review prints no slope", chosen)


def _slope(data: xr.Dataset, tau: float) -> tuple[float, float]:
    """Return the slope of the effect per tenfold dose and its standard error, by generalised least squares.

    y ~ Normal(a + b log10 dose, V + tau^2 [same study]), V with the covariance of shared controls.
    """
    study, dose = data["study"].values, data["log10_dose"].values
    if not np.isfinite(dose).all() or len(set(dose.tolist())) < 2:
        raise ValueError(f"log10 doses {dose.tolist()}: a slope needs known doses, two of them different")
    weight = np.linalg.inv(data["covariance"].values + tau**2 * (study[:, None] == study))
    design = np.column_stack([np.ones(dose.size), dose])
    covariance = np.linalg.inv(design.T @ weight @ design)
    return float((covariance @ design.T @ weight @ data["effect"].values)[1]), math.sqrt(covariance[1, 1])


def _contrasts(select: Selection, place: Place, independent: bool = True) -> list[dict]:
    """Return the selected contrasts as inputs. Raises InputError if independent ones are asked for and are not."""
    data = _selected(select, place)
    covariance = data["covariance"].values
    if independent and (covariance - np.diag(np.diag(covariance))).any():
        names = ", ".join(data["contrast"].values)
        raise place.at("select").fault(f"contrasts share a control: {names}", "one contrast for each control group")
    rows = {r["row"]: r for r in place.tables.rows["contrasts"]}
    return [
        _input(
            "contrasts",
            str(data["study"].values[i]),
            [rows[int(data["row"].values[i])]],
            {
                "effect": float(data["effect"].values[i]),
                "se": float(data["se"].values[i]),
                "n": [float(data[n].values[i]) for n in ("n_active", "n_control")],
                "month": float(data["month"].values[i]),
                "log10_dose": float(data["log10_dose"].values[i]),
            },
            str(data["scale"].values[i]),
            [str(data[a].values[i]) for a in ("arm", "control")],
        )
        for i in range(data.sizes["contrast"])
    ]


def _selected(select: Selection, place: Place) -> xr.Dataset:
    try:
        return select_contrasts(place.tables, select, place.file)
    except InputError as error:
        own = f"{place.where}.select"
        faults = [replace(f, where=f.where.replace("key evidence.select", own)) for f in error.faults]
        raise InputError(faults) from None


def _not_reproducible(check: NotReproducible, place: Place) -> CheckResult:
    row = _published(check, place)
    names = (*INTERVAL, "i2_pct", "k_studies", "n_total", "p")
    figures = [Figure(name, row[name], None) for name in names if row[name] is not None]
    if None not in (row[k] for k in INTERVAL) and row["measure"] not in RATIOS:
        figures.append(Figure("se", None, float(se_from_ci(row["ci_low"], row["ci_high"]))))
        if row["p"] is None:
            figures.append(Figure("p", None, p_from_interval(*(row[k] for k in INTERVAL))))
    result = _result(check, row, tuple(figures), "none: nothing is held against the print")
    return replace(result, note=" ".join(filter(None, (check.because, check.note))))


# rows and their figures


def _among(study: str, known: list[str], place: Place) -> None:
    if study not in known:
        raise place.fault(f"{study!r} is not a trial of this check", choices(study, known))


def _published(check: Check, place: Place, *needed: str) -> Row:
    """Return the review's row. Raises InputError if it lacks a figure that the check needs."""
    cells = {"meta_id": place.review} | check.published.model_dump(exclude_none=True)
    row = one_row("pooled", cells, place.at("published"))
    lacks = [c for c in needed if row[c] is None]
    if lacks:
        problem = f"row {row['row']} of pooled.csv has no {', '.join(lacks)}"
        raise place.at("published").fault(problem, "a row that prints it, or kind not_reproducible")
    return row


def _unit(*printed: float | None) -> float | None:
    """Return one unit of the last printed place, the finest of several figures that are printed alike."""
    known = [figure for figure in printed if figure is not None]
    return 2 * half_unit(*known) if known else None


def _input(table: str, study: str, rows: list[Row], values: dict, reading: str, arms: list[str]) -> dict:
    """Return what a result says of the rows it used."""
    source = list(dict.fromkeys((r["source_url"], r["source_location"]) for r in rows))
    return {
        "study": study,
        "arms": arms,
        "table": f"{table}.csv",
        "rows": [r["row"] for r in rows],
        "values": values,
        "reading": reading,
        "source": [{"url": url, "location": location} for url, location in source],
    }


def _result(
    check: Check, row: Row | None, figures: tuple[Figure, ...], reason: str, inputs: list = (), variants: list = ()
) -> CheckResult:
    keep = ("row", "measure", "scale", "month", "verified", "source_url", "source_location", "notes")
    return CheckResult(
        kind=check.kind,
        title=check.title,
        measure=row["measure"] if row else "RR",
        figures=figures,
        tolerance=reason,
        circular=check.circular,
        printed={"table": "pooled.csv"} | {k: row[k] for k in keep} if row else None,
        inputs=tuple(inputs),
        note=check.note,
        variants=tuple(variants),
    )


KINDS: dict[str, tuple[type[Check], Callable[[Check, Place], CheckResult]]] = {
    "pooled_smd": (PooledSmd, _pooled_smd),
    "risk_ratio": (RiskRatio, _risk_ratio),
    "event_totals": (EventTotals, _event_totals),
    "p_value": (PValue, _p_value),
    "benchmark": (Benchmark, _benchmark),
    "dose_slope": (DoseSlope, _dose_slope),
    "not_reproducible": (NotReproducible, _not_reproducible),
}
"""Every kind of check: its grammar and the function that computes it."""
