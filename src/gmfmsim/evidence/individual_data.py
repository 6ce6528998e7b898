"""A pooled estimate of individual data as evidence, in place of the trials whose children it holds.

With effects theta_j ~ Normal(mu, tau^2) of its k trials and their weights w_j the estimate is

    y ~ Normal(sum_j w_j theta_j, se^2),   so that   y ~ Normal(mu, se^2 + tau^2 sum_j w_j^2):

se, from the printed interval, is the error given the trials' own effects, and k trials are not one. Where the children
of each trial are not printed the weights are taken as equal, sum_j w_j^2 = 1 / k, which is the least that it can be.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.covariates import children_of
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.evidence.one_more import one_more
from gmfmsim.evidence.pooled import figures_missing, pooled_rows
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.files.toml import Spec, key

WHERE = "key evidence.individual_data"


class IndividualData(Spec):
    """Which pool of individual data stands in place of the trials whose children it holds."""

    meta_id: Annotated[str, key("pool, as pooled.csv names it", example="FinchEdmondson2025")]
    month: Annotated[float, key("of its estimate", "months", example=12, gt=0, le=120)]


def with_pool(data: xr.Dataset, tables: Tables, choice: IndividualData, file: str = "experiment") -> xr.Dataset:
    """Return the contrasts without those whose children a pool holds, and with the estimate of the pool.

    data: of `select_contrasts`. The pool holds the children of the studies that held.csv names, certainly or probably:
    a contrast of such a study is left out, and so is one against control children that a contrast of such a study has
    too. None but the pool may stay. Its contrast has study = meta_id, `pooled_trials` = k (1 for a trial), and the
    cells and route that its treated arms have in common; dose, ages, levels, country and allocation of its children are
    not known. attrs["pool"] and attrs["in_pool"] say what stands for what.

    Raises InputError for a pool that the tables do not have, one of which they do not say what it holds, a month
    without a mean difference on the GMFM-66, and an estimate without interval or number of trials.
    """
    row, held = _estimate(tables, choice, file), tables.where("held", meta_id=choice.meta_id)
    inside = _inside(data, tables, {one["study_id"] for one in held})
    names, kept = data["contrast"].values, np.flatnonzero(~inside)
    trials, certain = row["k_studies"], all(one["certainty"] == "certain" for one in held)
    said = f"{choice.meta_id} ({trials} trials" + (f", {row['n_total']} children" if row["n_total"] else "") + ")"
    left = data.isel(contrast=kept, contrast_=kept).assign_attrs(
        pool=said, in_pool=", ".join(names[inside].tolist()), pool_holds="holds" if certain else "probably holds"
    )
    values = {
        "study": choice.meta_id,
        "arm": f"cells of {trials} trials",
        "control": "their controls",
        "pooled_trials": trials,
        "month": choice.month,
        "randomised": math.nan,
        **_in_common(tables, held),
        **children_of(tables.studies[choice.meta_id]),
        "scale": row["scale"],
        "measure": row["measure"],
        "row": 0,
        "file": "",
        "citation": tables.studies[choice.meta_id]["citation"],
        **{name: row[name] or "" for name in ("notes", "source_url", "verified")},
        "source_location": f"{row['file']} row {row['row']}, {row['source_location']}",
    }
    left = left.assign(randomised=left["randomised"].astype(float))  # of the pool it is not known
    se = (row["ci_high"] - row["ci_low"]) / (2 * Z975)
    joined = one_more(left, row["estimate"], se, f"{choice.meta_id}, {trials} trials, month {choice.month:g}", values)
    return joined.assign(pooled_trials=joined["pooled_trials"].fillna(1.0))


def _estimate(tables: Tables, choice: IndividualData, file: str) -> Row:
    """Return the row of pooled.csv that a choice names."""
    declared = sorted({row["meta_id"] for row in tables.where("held")})
    if choice.meta_id not in declared:
        problem = f"held.csv does not say which trials {choice.meta_id!r} holds"
        allowed = choices(choice.meta_id, declared) if declared else "a table held.csv that names them"
        raise InputError([Fault(file, f"{WHERE}.meta_id", problem, allowed)])
    own = pooled_rows(tables, meta_id=choice.meta_id, measure="MD", scale="GMFM-66")
    rows = [row for row in own if row["month"] == f"{choice.month:g}"]
    if len(rows) != 1:
        months = ", ".join(str(row["month"]) for row in own)
        problem = f"{choice.meta_id} has {len(rows)} mean differences on the GMFM-66 at month {choice.month:g}"
        raise InputError([Fault(file, f"{WHERE}.month", problem, f"one of {months}" if months else "another pool")])
    missing = figures_missing(rows[0]) + (["k_studies"] if rows[0]["k_studies"] is None else [])
    if missing:
        problem = f"{choice.meta_id} lacks {'; '.join(missing)}"
        allowed = "an estimate with its interval and number of trials"
        raise InputError([Fault(rows[0]["file"], f"row {rows[0]['row']}", problem, allowed)])
    return rows[0]


def _inside(data: xr.Dataset, tables: Tables, studies: set[str]) -> np.ndarray:
    """Return which contrasts (K,) have children, with cells or without, of studies that a pool holds."""
    controls = {row["control_group"] for row in tables.rows["contrasts"] if row["study_id"] in studies} - {None}
    return np.isin(data["study"].values, list(studies)) | np.isin(data["control_group"].values, list(controls))


def _in_common(tables: Tables, held: list[Row]) -> dict[str, str]:
    """Return cell_class and route of the treated arms of a pool where all have the same, else "mixed"."""
    arms = [tables.arms[one["study_id"], one["arm_id"]] for one in held if one["arm_id"]]
    found = {name: {arm[name] for arm in arms} for name in ("cell_class", "route")}
    return {name: next(iter(values)) if len(values) == 1 else "mixed" for name, values in found.items()}
