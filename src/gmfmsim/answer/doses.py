"""A trial of several doses, planned by formula: shapes and contrasts, children, allocation; and curves of its data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gmfmsim.compute.text import percent
from gmfmsim.evidence.formulas.dose import parse_dose, write_dose
from gmfmsim.evidence.sheets.cells import decimal_mark, number, whole, with_point
from gmfmsim.evidence.sheets.sheet import read_bytes, read_sheet
from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.model.curve_fit import effective_dose, fit_curve, target_dose
from gmfmsim.model.curves import CURVES
from gmfmsim.question.changed import PLACE
from gmfmsim.trial.analyse.mcp_mod import McpMod
from gmfmsim.trial.change_sd import change_sd
from gmfmsim.trial.design import Design
from gmfmsim.trial.dose_power import contrast_power, contrast_sample_size, target_dose_allocation
from gmfmsim.trial.dose_shapes import contrast_correlation, optimal_contrasts, standardised_means
from gmfmsim.trial.multiplicity import critical_value
from gmfmsim.trial.optimise import largest_n

COLUMNS = {"dose": parse_dose, "mean": number, "sd": number, "n": whole}
"""Columns of the means of arms, and how their cells are read."""


def dose_finding(
    design: Design, effect: float, *, sd: float | None = None, power: float = 0.8, n: int | None = None, **more: Any
) -> dict[str, Any]:
    """Return how a trial of several doses finds one, by formula: multiple contrasts of the shapes of its MCP-Mod.

    effect: the largest at any dose, in points; sd: of the change, by default the design's median; n: children in all,
    or as many as give `power` under the shape that is hardest to see. share: of the largest effect whose dose is to be
    estimated; data: a CSV file with the means of arms, to which curves are fitted. candidates: of each shape the
    effects by arm, the contrast and its power. allocation: shares of children by arm that estimate the dose with
    `share` best.

    Raises InputError for a design without shapes to look for, numbers that cannot be, and faults of the file.
    Source: Bretz, Pinheiro & Branson 2005; Pinheiro, Bornkamp & Bretz 2006; Dette et al. 2008.
    """
    share, data = more.get("share", 0.9), more.get("data")
    shapes = next((a.candidates for a in design.analyses if isinstance(a, McpMod)), None)
    if faults := _faults(design, shapes, effect, sd, power, share):
        raise InputError(faults)
    doses, ratio = (np.array([getattr(arm, name) for arm in design.arms], float) for name in ("dose", "ratio"))
    spread = change_sd(design).median if sd is None else sd
    means, kept = effect * standardised_means(shapes, doses), 1 - design.dropout
    alpha = design.alpha / 2
    if n is None:
        size = contrast_sample_size(means, ratio, sd=spread, target=power, alpha=alpha)
        per_arm = math.ceil(size / kept)
    elif n < design.total(design.fewest):
        raise InputError([Fault(PLACE, "--n", f"{n} children are too few", f"at least {design.total(design.fewest)}")])
    else:
        per_arm = largest_n(design, n)
    analysed = per_arm * ratio * kept
    contrasts = optimal_contrasts(means, analysed)
    powers = contrast_power(means, contrasts, analysed, sd=spread, alpha=alpha)
    best = target_dose_allocation(shapes, doses, share)
    names = [arm.name for arm in design.arms]
    rows = [
        {"shape": c.words(), "effects": _by(names, m), "contrast": _by(names, k), "power": float(p)}
        for c, m, k, p in zip(shapes, means, contrasts, powers, strict=True)
    ]
    return {
        "design": design.title,
        "doses": _by(names, doses),
        "effect": effect,
        "sd": spread,
        "alpha": design.alpha,
        "dropout": design.dropout,
        "n_total": design.total(per_arm),
        "n_by_arm": design.sizes(per_arm),
        "power": float(powers.min()),
        "critical": critical_value(
            contrast_correlation(contrasts, analysed), float(analysed.sum()) - doses.size, alpha
        ),
        "candidates": rows,
        "share": share,
        "allocation": _by(names, best),
        "curves": None if data is None else fitted_curves(Path(data), effect, share),
    }


def _faults(design: Design, shapes, effect: float, sd: float | None, power: float, share: float) -> list[Fault]:
    """Return what is asked that cannot be."""
    faults = []
    if shapes is None:
        allowed = "a design with an analysis mcp_mod, as next_doses: it names the shapes to look for"
        faults.append(Fault(PLACE, "design", f"{shown(design.title)} looks for no shapes", allowed))
    said = {"--effect": effect, "--sd": sd}
    faults += [
        Fault(PLACE, where, f"{value:g} points", "points above 0")
        for where, value in said.items()
        if value is not None and not (value > 0 and math.isfinite(value))
    ]
    if not design.alpha / 2 < power < 1:
        faults.append(Fault(PLACE, "--power", f"{power:g}", f"a share from {design.alpha / 2:g} to below 1"))
    if not 0 < share < 1:
        faults.append(Fault(PLACE, "--share", f"{share:g}", "a share above 0 and below 1"))
    return faults


def fitted_curves(path: Path, effect: float, share: float) -> list[dict[str, Any]]:
    """Return curves fitted to the means of the arms of one trial, that with the least AIC first.

    Columns dose (with its unit), mean, sd and n. parameters with standard errors; dose_of_effect: the least with
    `effect` over dose 0, None where none up to the highest has it; dose_of_share: that with a share of the effect at
    the highest dose. Curves with more parameters than there are doses are left out. Raises InputError for faults of the
    file.
    """
    dose, mean, sd, n = (np.array(column) for column in zip(*_arms(path), strict=True))
    rows = []
    for name, law in CURVES.items():
        if np.unique(dose).size < 2 + len(law.nonlinear) or not law.uses_dose:
            continue
        fit = fit_curve(dose, mean, name, variance=sd**2 / n)
        rows.append(
            {
                "curve": name,
                "aic": fit.aic,
                "parameters": fit.parameters,
                "standard_errors": fit.standard_errors,
                "at_bound": list(fit.at_bound),
                "dose_of_effect": target_dose(fit, effect),
                "dose_of_share": effective_dose(fit, share),
            }
        )
    return sorted(rows, key=lambda row: row["aic"])


def _arms(path: Path) -> list[tuple[float, ...]]:
    """Return dose, mean, SD and children of the arms of a file. Raises InputError with every fault."""
    sheet = read_sheet(path.name, read_bytes(path), COLUMNS)
    missing = [name for name in COLUMNS if name not in sheet.header]
    if missing:
        raise InputError([Fault(path.name, f"row {sheet.row}", f"no column {m}", ", ".join(COLUMNS)) for m in missing])
    faults, rows = [], []
    places = {name: sheet.header.index(name) for name in COLUMNS}
    written = [cells[at] for _, cells in sheet.records for name, at in places.items() if at < len(cells)]
    comma = decimal_mark(written, sheet.separator) == ","
    for line, cells in sheet.records:
        found = {}
        for name, read in COLUMNS.items():
            cell = cells[places[name]].strip() if places[name] < len(cells) else None
            try:
                found[name] = read(with_point(cell, unit=name == "dose") if comma and cell else cell)
            except ValueError as error:
                what = error.args[1] if len(error.args) > 1 else "5e7 cells/kg" if name == "dose" else "a number"
                faults.append(Fault(path.name, f"row {line}, column {name}", str(error.args[0]), what))
        if {"sd", "n"} <= found.keys() and not (found["sd"] > 0 and found["n"] > 1):
            faults.append(Fault(path.name, f"row {line}", "sd or n is too small", "sd above 0, n from 2 on"))
        rows.append(tuple(found.get(name, math.nan) for name in COLUMNS))
    if not faults and len({row[0] for row in rows}) < 2:
        faults.append(
            Fault(path.name, "column dose", "fewer than two doses", "arms at two doses or more, 0 among them")
        )
    if faults:
        raise InputError(faults)
    return rows


def _dose(dose: float | None) -> str:
    """Write a dose as closely as it is known."""
    return "no dose studied" if dose is None else write_dose(float(f"{dose:.2g}"))


def _by(names: list[str], values: np.ndarray) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `dose_finding` found as lines for a terminal."""
    arms = ", ".join(f"{n} {arm}" for arm, n in found["n_by_arm"].items())
    yield (
        f"{found['n_total']} children ({arms}): a dose response is seen with {percent(found['power'])} power or more, "
        f"if the largest effect is {found['effect']:g} points (SD of change {found['sd']:.3g}, two-sided alpha "
        f"{found['alpha']:g}, {percent(found['dropout'])} drop out)"
    )
    yield f"  critical value of the largest contrast {found['critical']:.3f}"
    for row in found["candidates"]:
        effects = ", ".join(f"{arm} {value:.2f}" for arm, value in row["effects"].items())
        weights = ", ".join(f"{value:+.3f}" for value in row["contrast"].values())
        yield f"  {row['shape']}: power {percent(row['power'])}; effects {effects}; contrast {weights}"
    shares = ", ".join(f"{arm} {percent(value)}" for arm, value in found["allocation"].items())
    yield f"  the dose with {percent(found['share'])} of the effect is estimated best with {shares}"
    for row in found["curves"] or ():
        dose, of_share = (_dose(row[name]) for name in ("dose_of_effect", "dose_of_share"))
        parameters = ", ".join(
            f"{name} {value:.3g} (SE {row['standard_errors'][name]:.2g})" for name, value in row["parameters"].items()
        )
        yield (
            f"  {row['curve']}: AIC {row['aic']:.1f}; {found['effect']:g} points at {dose}, "
            f"{percent(found['share'])} of the effect at {of_share}; {parameters}"
        )
