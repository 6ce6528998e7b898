"""Printed estimates beside pools: of the trials of a review, and of contrasts with partly the same children."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from gmfmsim.compute.algebra import cholesky, orthogonal, product, solve_lower, solve_upper
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.formulas.classical import pool
from gmfmsim.evidence.formulas.conversions import Z975, sd_from_se, t_test_p
from gmfmsim.evidence.formulas.effect_sizes import cohen_d, hedges_g
from gmfmsim.evidence.rerun import checks
from gmfmsim.evidence.rerun.checks import CheckResult, Figure, Variant
from gmfmsim.evidence.rerun.rows import INTERVAL, Place, gathered, interval, result_of, unit_of, used
from gmfmsim.evidence.schema import Row
from gmfmsim.evidence.spread import spread_field
from gmfmsim.faults import InputError, choices

EFFECTS = {"cohen_d": cohen_d, "hedges_g": hedges_g}


def pooled_smd(check: checks.PooledSmd, place: Place) -> CheckResult:
    """Pool the standardised differences of the named trials against the printed estimate, and under other readings."""
    (row,), trials, others = gathered(
        [partial(place.published_row, check, *INTERVAL)],
        place.each("trials", read_trial, check.trials, check.effect),
        place.each("variants", _reread, check.variants, check),
    )
    variants = []
    for reading, other in zip(check.variants, others, strict=True):
        kept = [other.get(t["study"], t) for t in trials if t["study"] not in reading.without]
        figures = _pooled_figures(kept, check, row)[:-2]
        variants.append(Variant(reading.label, reading.because, figures, tuple(kept)))
    circular = dict.fromkeys(filter(None, [*(t.circular for t in check.trials), check.circular]))
    reason = "one unit of the last printed place: half for the print, half for inputs that are printed rounded"
    result = result_of(check, row, _pooled_figures(trials, check, row), reason, trials, variants)
    return replace(result, circular=" ".join(circular) or None)


def _reread(reading: checks.Reading, place: Place, check: checks.PooledSmd) -> dict[str, dict]:
    """Return the trials that a reading replaces, by study."""
    known = [t.study for t in check.trials]
    named = [("without", study) for study in reading.without] + [("replace", t.study) for t in reading.replace]

    def among(key: str, study: str) -> None:
        if study not in known:
            raise place.at(key).fault(f"{study!r} is not a trial of this check", choices(study, known))

    jobs = [partial(among, key, study) for key, study in named]
    _, found = gathered(jobs, place.each("replace", read_trial, reading.replace, check.effect))
    if set(known) <= set(reading.without):
        raise place.at("without").fault("leaves no trial", "at least one trial")
    return {t["study"]: t for t in found}


def _pooled_figures(trials: list[dict], check: checks.PooledSmd, row: Row) -> tuple[Figure, ...]:
    """Pool the effects of trials and hold them against the printed figures; the counts come last."""
    values = [t["values"] for t in trials]
    pooled = pool([v["effect"] for v in values], [v["se"] ** 2 for v in values], check.estimator)
    i2 = None if pooled.i2 is None else 100 * pooled.i2
    return (
        *interval((pooled.estimate, *pooled.ci), row, unit_of(*(row[k] for k in INTERVAL))),
        Figure("i2_pct", row["i2_pct"], i2, unit_of(row["i2_pct"])),
        Figure("tau2", row["tau2"], pooled.tau2, unit_of(row["tau2"])),
        Figure("k_studies", row["k_studies"], len(trials), 0),
        Figure("n_total", row["n_total"], sum(sum(v["n"]) for v in values), 0),
    )


def read_trial(trial: checks.Trial, place: Place, effect: str) -> dict:
    """Return a trial's rows with its effect, standard error and children."""
    cells = {"kind": "change", "scale": trial.scale, "month": trial.month}
    needed = () if trial.given is not None else ("mean",) if trial.sd else ("mean", "sd")
    needed += () if trial.n else ("n",)
    allowed = "rows that print them, sd with because, or given with circular"
    rows = place.rows_of_arms(trial, "outcomes", cells, needed, allowed)
    n, taken, source = trial.n or [r["n"] for r in rows], trial.sd, ""
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


def benchmark(check: checks.Benchmark, place: Place) -> CheckResult:
    """Pool the selected contrasts and set them beside the printed estimate."""
    row = place.published_row(check, *INTERVAL)
    jobs = [partial(_independent, check, place), *place.each("variants", _independent, check.variants)]
    results = []
    for spec, data in zip([check, *check.variants], *gathered(jobs), strict=True):
        pooled = pool([c["values"]["effect"] for c in data], [c["values"]["se"] ** 2 for c in data], spec.estimator)
        estimate, *ends = interval((pooled.estimate, *pooled.ci), row)
        held = replace(estimate, tolerance=check.within)
        figures = (held, *ends, Figure("tau2", None, pooled.tau2), Figure("k_studies", None, len(data)))
        results.append((figures, tuple(data)))
    (figures, inputs), *others = results
    variants = [Variant(v.label, None, *other) for v, other in zip(check.variants, others, strict=True)]
    reason = f"within {check.within:g} of the printed estimate is near: other children, other models, other scales"
    return result_of(check, row, figures, reason, inputs, variants)


def dose_slope(check: checks.DoseSlope, place: Place) -> CheckResult:
    """Fit the slope of the selected contrasts per tenfold dose and set its sign beside the printed dose effect."""
    row = place.published_row(check)
    data = _selected(check.select, place)
    slope, se = _slope(data, check.tau)
    figures = (
        *interval((slope, slope - Z975 * se, slope + Z975 * se), row),
        Figure("se", None, se),
        Figure("p", row["p"], float(t_test_p(slope, se)), None, row["p_qualifier"] or "="),
        Figure("k_studies", None, data.sizes["contrast"]),
    )
    reason = "the sign alone: the review prints no slope"
    return result_of(check, row, figures, reason, _as_inputs(data, place))


def _slope(data: xr.Dataset, tau: float) -> tuple[float, float]:
    """Return the slope of the effect per tenfold dose and its standard error, by generalised least squares.

    y ~ Normal(a + b log10 dose, V + tau^2 [same study]), V with the covariance of shared controls.
    """
    study, dose = data["study"].values, data["log10_dose"].values
    if not np.isfinite(dose).all() or len(set(dose.tolist())) < 2:
        raise ValueError(f"log10 doses {dose.tolist()}: a slope needs known doses, two of them different")
    root = cholesky(data["covariance"].values + tau**2 * (study[:, None] == study))
    q, r = orthogonal(solve_lower(root, np.column_stack([np.ones(dose.size), dose])))
    beta = solve_upper(r, product(q.T, solve_lower(root, data["effect"].values[:, None])))
    return float(beta[1, 0]), 1 / abs(float(r[1, 1]))


def _independent(spec: checks.Benchmark | checks.Pool, place: Place) -> list[dict]:
    """Return the selected contrasts as inputs. Raises InputError if some share a control."""
    data = _selected(spec.select, place)
    covariance = data["covariance"].values
    if (covariance - np.diag(np.diag(covariance))).any():
        names = ", ".join(data["contrast"].values)
        raise place.at("select").fault(f"contrasts share a control: {names}", "one contrast for each control group")
    return _as_inputs(data, place)


def _as_inputs(data: xr.Dataset, place: Place) -> list[dict]:
    """Return what a result says of contrasts."""
    rows = {(r["file"], r["row"]): r for r in place.tables.rows["contrasts"]}
    found = []
    for i in range(data.sizes["contrast"]):
        one = {name: data[name].values[i].item() for name in data.data_vars if data[name].dims == ("contrast",)}
        values = {k: one[k] for k in ("effect", "se")} | {"n": [one["n_active"], one["n_control"]]}
        values |= {k: one[k] for k in ("month", "log10_dose")}
        arms = [one["arm"], one["control"]]
        found.append(used("contrasts", one["study"], [rows[one["file"], one["row"]]], values, one["scale"], arms))
    return found


def _selected(select: Selection, place: Place) -> xr.Dataset:
    try:
        return select_contrasts(place.tables, select, place.file)
    except InputError as error:
        own = f"{place.where}.select"
        faults = [replace(f, where=f.where.replace("key evidence.select", own)) for f in error.faults]
        raise InputError(faults) from None
