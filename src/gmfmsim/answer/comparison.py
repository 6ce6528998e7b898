"""Plans side by side: what each asks for and gives, how far they lie apart, and what distinguishes them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.interpolate import PchipInterpolator

from gmfmsim.answer.what_moves import over_assumed
from gmfmsim.answer.words import worst_claims

SAID = {
    "design": "design",
    "target": "target",
    "effect": "planning value",
    "month": "month of the endpoint",
    "sd_of_change": "SD of change",
    "analysis": "analysis",
    "looks": "looks",
    "claim": "claim",
    "alpha": "two-sided alpha",
    "dropout": "drop-out",
    "ratio": "arms",
    "dose": "doses, cells/kg",
    "baseline_correlation": "correlation of baseline and endpoint",
    "within_units": "correlation within units",
    "evidence": "evidence",
    "model": "model",
}
"""What is assumed of a plan, by its name in `assumed`, and as a reader is told it."""


class Side(NamedTuple):
    """A plan to compare: its label, its figures as in answer.json, its success over n (scenario, n, analysis), and of a
    design its false claims over settings of children (setting, analysis)."""

    label: str
    found: dict[str, Any]
    surface: xr.Dataset
    type_one: xr.Dataset | None = None


def comparison(sides: Sequence[Side]) -> dict[str, Any]:
    """Return the rows of a comparison, one a plan, the first being what the others are held to, and what differs.

    Of a row: label, n_total, n_by_arm, why, target, assurance and power at that n, plateau, false_claims without an
    effect, expected (children on average in a new study, with looks: None without), most_false_claims over settings of
    children (of a design: setting, rate, mcse, nominal, above), exposed (children with cells), range over assumptions
    (low, high, none), and where the plan says so months to the last visit, cost, and worth: of the trial that gains
    most (n_total, 0 for none, evsi, net), without costs of that of n_total.

    more_children: n_total less that of the first. more_assurance: at the n_total of the first, read off the curves
    between the n that were computed (monotone cubic interpolation, Fritsch & Carlson 1980), less that of the first; its
    MCSE where either is simulated, as if they shared no noise.
    """
    first = sides[0]
    at = first.found["n_total"]
    own = _read_off(first.surface, at)
    rows = []
    for side in sides:
        row, here = _row(side), _read_off(side.surface, at)
        row["more_children"] = None if None in (at, row["n_total"]) else row["n_total"] - at
        known = side is not first and None not in (own, here)
        row["more_assurance"] = here[0] - own[0] if known else None
        row["more_assurance_mcse"] = math.hypot(here[1], own[1]) or None if known else None
        rows.append(row)
    return {"rows": rows, "differs": _differs(sides)}


def _row(side: Side) -> dict[str, Any]:
    """Return the figures of one plan."""
    found = side.found
    names = ("n_total", "n_by_arm", "why", "target", "plateau", "plateau_mcse", "exposed")
    names += ("assurance", "assurance_mcse", "power", "power_mcse", "false_claims", "false_claims_mcse")
    row = {k: found[k] for k in names}
    row["range"] = over_assumed(found["n_total"], (moved["n_total"] for moved in found.get("sensitivity", ())))
    worst = {} if side.type_one is None else worst_claims(side.type_one)
    row["most_false_claims"] = next(iter(worst.values()), None)
    known = [s for s in (found.get("looks") or {}).get("scenarios", ()) if s["scenario"] == "new_study"]
    row["expected"] = known[0]["expected_n"] if known else None
    duration, cost = found.get("duration") or {}, found.get("cost") or {}
    row |= {"months": duration.get("months"), "cost": cost.get("total"), "currency": cost.get("currency")}
    if value := found.get("value"):
        best = value["largest"] or value["at_answer"]
        net = best["net_gain"]["low"] if best and best["net_gain"] else None
        row["worth"] = best and {k: best[k] for k in ("n_total", "evsi")} | {"net": net, "currency": value["currency"]}
    return {"label": side.label, "planning_value": found["assumed"]["planning_value"]} | row


def _read_off(surface: xr.Dataset, n_total: int | None) -> tuple[float, float] | None:
    """Return assurance and its MCSE (0 without) at so many children in all; None beyond the curve."""
    of = surface[["success", "success_mcse"]].isel(analysis=0).sel(scenario="new_study")
    n = surface["randomised"].values.astype(float)
    if n_total is None or not n[0] <= n_total <= n[-1]:
        return None
    success, mcse = (np.nan_to_num(of[name].values) for name in of.data_vars)
    if n.size == 1:
        return float(success[0]), float(mcse[0])
    return float(PchipInterpolator(n, success)(n_total)), float(np.interp(n_total, n, mcse))


def _differs(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Return what is not assumed alike of all plans, in words: what, and the value of each plan."""
    rows = []
    for name, what in SAID.items():
        values = [_in_words(side.found["assumed"].get(name)) for side in sides]
        if len(set(values)) > 1:
            rows.append({"what": what, "values": values})
    return rows


def _in_words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_in_words(v)}" for k, v in value.items())
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    return f"{value:g}" if isinstance(value, int | float) else str(value)
