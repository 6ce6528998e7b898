"""Printed estimates beside what the contrasts of the tables give, which hold partly the same children."""

from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from gmfmsim.compute.algebra import cholesky, orthogonal, product, solve_lower, solve_upper
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.formulas.classical import pool
from gmfmsim.evidence.formulas.conversions import Z975, t_test_p
from gmfmsim.evidence.rerun.checks import Benchmark, CheckResult, DoseSlope, Figure, Variant
from gmfmsim.evidence.rerun.result import INTERVAL, published_row, result_of, used
from gmfmsim.evidence.rerun.rows import Place, gathered
from gmfmsim.faults import InputError


def benchmark(check: Benchmark, place: Place) -> CheckResult:
    """Pool the selected contrasts and set them beside the printed estimate."""
    row = published_row(check, place, *INTERVAL)
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
    return result_of(check, row, figures[0], reason, chosen[0], variants)


def dose_slope(check: DoseSlope, place: Place) -> CheckResult:
    """Fit the slope of the selected contrasts per tenfold dose and set its sign beside the printed dose effect."""
    row = published_row(check, place)
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
    return result_of(check, row, figures, "the sign alone: the review prints no slope", chosen)


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


def _contrasts(select: Selection, place: Place, independent: bool = True) -> list[dict]:
    """Return the selected contrasts as inputs. Raises InputError if independent ones are asked for and are not."""
    data = _selected(select, place)
    covariance = data["covariance"].values
    if independent and (covariance - np.diag(np.diag(covariance))).any():
        names = ", ".join(data["contrast"].values)
        raise place.at("select").fault(f"contrasts share a control: {names}", "one contrast for each control group")
    rows = {r["row"]: r for r in place.tables.rows["contrasts"]}
    return [
        used(
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
