"""What a report says of the evidence: a table a clinician can read, doubts about it, signs of small-study bias."""

import re

import numpy as np

from gmfmsim.answer.result import PlanResult
from gmfmsim.evidence.audit import audit
from gmfmsim.evidence.audit.finding import Finding
from gmfmsim.evidence.classical import Egger, egger
from gmfmsim.evidence.conversions import Z975
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.question.plan import Prepared

READING_WORDS = {
    "as_tabled": "as in the tables",
    "as_printed": "as printed",
    "spread_is_se": "printed spread is a standard error",
    "spread_is_sd": "printed spread is an SD",
    "imputed_sd": "SD not known, as in other trials",
    "sd_in_range": "SD in the range of another source",
    "sd_from_d": "SD from the printed d",
    "centre_of_interval": "centre of the printed interval",
    "change_score": "change instead of final score",
}


def on_model_scale(plan_result: PlanResult) -> tuple[np.ndarray, np.ndarray]:
    """Return reported effects and standard errors (K,) on the GMFM-66 scale, by the posterior mean of r."""
    data, posterior = plan_result.prepared.reported, plan_result.posterior["posterior"]
    ratio = float(posterior["r"].mean()) if "r" in posterior else 1.0
    scale = np.where(data["gmfm66"].values, 1.0, ratio)
    return data["effect"].values * scale, data["se"].values * scale


def small_study(plan_result: PlanResult) -> Egger | None:
    """Return the regression of effects on their standard errors; None for fewer than three different ones."""
    if plan_result.prepared.reported is None:
        return None
    effect, se = on_model_scale(plan_result)
    if effect.size < 3 or np.ptp(se) <= 1e-9 * se.max():
        return None
    return egger(effect, se**2)


def trials(prepared: Prepared) -> list[dict]:
    """Return one row a contrast, in words: who was treated with what, what was found, where it was read."""
    data = prepared.reported
    if data is None:
        return []
    keep = (
        *("study", "arm", "control", "cell_class", "route", "dose", "month", "scale", "effect", "se", "measure"),
        *("row", "n_active", "n_control", "source_url", "source_location", "verified", "notes", "citation"),
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


def doubts(prepared: Prepared, audited: dict[str, list[Finding]]) -> list[Finding]:
    """Return the findings of the audit that concern the studies of the selected contrasts.

    `audited` keeps the findings by what the tables hold: plans of one experiment mostly share them.
    """
    if prepared.contrasts is None:
        return []
    if prepared.tables.sha256 not in audited:
        audited[prepared.tables.sha256] = audit(prepared.tables)
    studies = set(prepared.contrasts["study"].values.tolist())
    return [d for d in audited[prepared.tables.sha256] if studies & set(re.split(", | and ", d.study))]
