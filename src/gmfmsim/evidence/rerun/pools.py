"""Pooled standardised mean differences: the trials of a review, as printed and read otherwise."""

import math
from dataclasses import replace
from functools import partial

from gmfmsim.evidence.formulas.classical import pool
from gmfmsim.evidence.formulas.conversions import sd_from_se
from gmfmsim.evidence.formulas.effect_sizes import cohen_d, hedges_g
from gmfmsim.evidence.rerun.checks import CheckResult, Figure, PooledSmd, Reading, Trial, Variant
from gmfmsim.evidence.rerun.result import INTERVAL, check_roles, published_row, result_of, unit_of, used
from gmfmsim.evidence.rerun.rows import Place, gathered, one_row
from gmfmsim.evidence.schema import Row
from gmfmsim.evidence.spread import spread_field
from gmfmsim.faults import choices

EFFECTS = {"cohen_d": cohen_d, "hedges_g": hedges_g}


def pooled_smd(check: PooledSmd, place: Place) -> CheckResult:
    """Pool the standardised differences of the named trials against the printed estimate, and under other readings."""
    row, *found = gathered(
        [
            partial(published_row, check, place, *INTERVAL),
            *(partial(read_trial, t, check.effect, place.at(f"trials.{i}")) for i, t in enumerate(check.trials)),
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
    result = result_of(check, row, _pooled_figures(trials, check, row), reason, trials, variants)
    return replace(result, circular=" ".join(circular) or None)


def _reread(reading: Reading, check: PooledSmd, place: Place) -> dict[str, dict]:
    """Return the trials that a reading replaces, by study."""
    known = [t.study for t in check.trials]
    found = gathered(
        [
            *(partial(_among, s, known, place.at("without")) for s in reading.without),
            *(partial(_among, t.study, known, place.at("replace")) for t in reading.replace),
            *(partial(read_trial, t, check.effect, place.at(f"replace.{i}")) for i, t in enumerate(reading.replace)),
        ]
    )
    if set(known) <= set(reading.without):
        raise place.at("without").fault("leaves no trial", "at least one trial")
    return {t["study"]: t for t in found if t}


def _pooled_figures(trials: list[dict], check: PooledSmd, row: Row) -> tuple[Figure, ...]:
    """Pool the effects of trials and hold them against the printed figures."""
    values = [t["values"] for t in trials]
    pooled = pool([v["effect"] for v in values], [v["se"] ** 2 for v in values], check.estimator)
    unit = unit_of(*(row[k] for k in INTERVAL))
    i2 = None if pooled.i2 is None else 100 * pooled.i2
    return (
        *(Figure(k, row[k], x, unit) for k, x in zip(INTERVAL, (pooled.estimate, *pooled.ci), strict=True)),
        Figure("i2_pct", row["i2_pct"], i2, unit_of(row["i2_pct"])),
        Figure("tau2", row["tau2"], pooled.tau2, unit_of(row["tau2"])),
        Figure("k_studies", row["k_studies"], len(trials), 0),
        Figure("n_total", row["n_total"], sum(sum(v["n"]) for v in values), 0),
    )


def read_trial(trial: Trial, effect: str, place: Place) -> dict:
    """Return a trial's rows with its effect, standard error and children."""
    rows = gathered(
        [partial(check_roles, trial, place), *(partial(_outcome, trial, arm, place) for arm in trial.arms)]
    )[1:]
    n = trial.n or [r["n"] for r in rows]
    needed = () if trial.given is not None else ("mean",) if trial.sd else ("mean", "sd")
    missing = [(r, c) for r in rows for c in (*needed, *(() if trial.n else ("n",))) if r[c] is None]
    if missing:
        lacks = ", ".join(f"row {r['row']} has no {c}" for r, c in missing)
        allowed = "rows that print them, sd with because, or given with circular"
        raise place.fault(f"{lacks} (outcomes.csv, {trial.study})", allowed)
    taken, source = trial.sd, ""
    if taken == "field":  # in points of the scale, the field's on 0-100
        field = spread_field(place.tables, trial.month, trial.study)
        taken = field.median * (rows[0]["scale_max"] or 100) / 100
        source = ", from the evidence shipped with the package" if field.borrowed else ""
    sd = [taken] * 2 if taken else [r["sd"] for r in rows]
    reading = f"SD {taken:.3g} taken{source}: {trial.because.rstrip('.')}" if taken else "as printed"
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
    return used("outcomes", trial.study, rows, values, reading, trial.arms)


def _outcome(trial: Trial, arm: str, place: Place) -> Row:
    cells = {"study_id": trial.study, "arm_id": arm, "kind": "change", "scale": trial.scale, "month": trial.month}
    return one_row("outcomes", cells, place, trial.preferred)


def _among(study: str, known: list[str], place: Place) -> None:
    if study not in known:
        raise place.fault(f"{study!r} is not a trial of this check", choices(study, known))
