"""What a result says of the evidence: contrasts and what the model makes of them, doubts, signs of small-study bias."""

import re
from dataclasses import asdict

import numpy as np
import xarray as xr

from gmfmsim.answer.plan import Answered
from gmfmsim.evidence.audit import audit
from gmfmsim.evidence.audit.finding import Finding
from gmfmsim.evidence.contrasts import at_last_month
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.formulas.classical import Egger, egger
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.evidence.readings import READING_WORDS
from gmfmsim.question.evidence import read_from
from gmfmsim.question.plan import Prepared

AUDITED: dict[tuple[str, ...], list[Finding]] = {}
"""Findings by what the tables hold that were audited, and those they are judged by: most plans share them."""


def on_model_scale(answer: Answered) -> tuple[np.ndarray, np.ndarray]:
    """Return reported effects and standard errors (K,) on the GMFM-66 scale, by the posterior mean of r."""
    data, posterior = answer.prepared.reported, answer.leading.tree["posterior"]
    ratio = float(posterior["r"].mean()) if "r" in posterior else 1.0
    scale = np.where(data["gmfm66"].values, 1.0, ratio)
    return data["effect"].values * scale, data["se"].values * scale


def contrasts(answer: Answered) -> xr.Dataset | None:
    """Return the contrasts as figures show them, on the GMFM-66 scale; None of a published estimate.

    Variables (contrast): reported and se, as reported under the most probable readings; low, median and high, what the
    leading model makes of the effect of that study (95 % equal-tailed); study, cell_class, route, dose (cells/kg),
    month, gmfm66 (else converted by the posterior mean of r), uncertain (its standard error has a distribution),
    last_month (of that arm).
    """
    data = answer.prepared.reported
    if data is None:
        return None
    reported, se = on_model_scale(answer)
    theta = answer.leading.tree["posterior"]["theta"].transpose("contrast", "chain", "draw").values
    low, median, high = np.quantile(theta.reshape(len(theta), -1), [0.025, 0.5, 0.975], axis=1)
    of = {name: data[name].values for name in ("study", "cell_class", "route", "dose", "month", "gmfm66")}
    seen = {"reported": reported, "se": se, "low": low, "median": median, "high": high}
    columns = of | seen | {"uncertain": data["log_se_sd"].values > 0, "last_month": at_last_month(data)}
    unit = {"reported": answer.prepared.unit, "dose": "cells/kg", "month": "months since first infusion"}
    return xr.Dataset(
        {name: ("contrast", values, {"unit": unit[name]} if name in unit else {}) for name, values in columns.items()},
        {"contrast": data["contrast"].values},
        {"interval": "equal-tailed", "interval_prob": 0.95},
    )


def small_study(answer: Answered) -> Egger | None:
    """Return the regression of effects on their standard errors; None for fewer than three different ones.

    Of several months of an arm the last counts: the others are the same children. A pool of several trials does not.
    """
    data = answer.prepared.reported
    if data is None:
        return None
    counted = at_last_month(data)
    if "pooled_trials" in data:
        counted &= data["pooled_trials"].values == 1
    effect, se = (values[counted] for values in on_model_scale(answer))
    if effect.size < 3 or np.ptp(se) <= 1e-9 * se.max():
        return None
    return egger(effect, se**2)


def in_tables(prepared: Prepared) -> dict:
    """Return what a page says of the evidence without a fit: what is selected, its rows and sources, or a published
    estimate."""
    published = prepared.published
    return {
        "model_title": prepared.model_title,
        "observed_doses": prepared.observed_doses,
        "observed_months": prepared.observed_months,
        "uses_dose": prepared.uses_dose,
        "uses_month": prepared.uses_month,
        "combinations": 1 if prepared.contrasts is None else prepared.contrasts.sizes["reading"],
        "flat_file": prepared.tables.folder.name if prepared.tables.is_flat else None,
        "trials": trials(prepared),
        "notes": prepared.notes,
        "published": asdict(published) if published else None,
    }


def trials(prepared: Prepared) -> list[dict]:
    """Return one row a contrast, in words: who was treated with what, what was found, where it was read."""
    data = prepared.reported
    if data is None:
        return []
    keep = (
        *("study", "arm", "control", "cell_class", "route", "dose", "month", "scale", "effect", "se", "measure"),
        *("file", "row", "n_active", "n_control", "source_url", "source_location", "verified", "notes", "citation"),
    )
    reading = dict(zip(data["suspect"].values.tolist(), data["reading_of"].values.tolist(), strict=True))
    rows = []
    for i in range(data.sizes["contrast"]):
        row = {k: data[k].values[i].item() for k in keep}
        half = Z975 * row["se"]
        rows.append(
            row
            | {
                "low": row["effect"] - half,
                "high": row["effect"] + half,
                "cells": CLASS_WORDS.get(row["cell_class"], row["cell_class"]),
                "by": ROUTE_WORDS.get(row["route"], row["route"]),
                "uncertain": bool(data["log_se_sd"].values[i] > 0),
                "supposed": row["measure"] == "supposed",
                "reading": READING_WORDS.get(reading.get(row["study"])),
            }
        )
    return rows


def findings(prepared: Prepared) -> list[dict]:
    """Return the findings of the audit that concern the studies of the selected contrasts."""
    if prepared.contrasts is None:
        return []
    held = tuple(read_from(prepared.tables).values())
    if held not in AUDITED:
        AUDITED[held] = audit(prepared.tables)
    studies = set(prepared.contrasts["study"].values.tolist())
    return [asdict(d) for d in AUDITED[held] if studies & set(re.split(", | and ", d.study))]
