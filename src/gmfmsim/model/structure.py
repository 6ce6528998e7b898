"""A declared model on its data, as both engines use it: linear and normal given a few non-linear parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Distribution
from gmfmsim.model.curves import time_course
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.likelihood import Likelihood, likelihood
from gmfmsim.model.terms import COURSE, NOWHERE, SLOPES, TERMS, Coefficient, Level, covariate, covariate_sd


@dataclass(frozen=True)
class Structure:
    """y = scale x (shape x amplitude + biases) + error, given the parameters phi.

    amplitude_c = sum of the coefficients on the curve and of the deviations of every level; shape(phi) (..., K);
    scale: 1 on the GMFM-66, 1 / r elsewhere. phi maps each name of `parameters` to a number, to an array (..., 1), or
    to a variable of PyMC's graph: the same lines serve all three.
    """

    parameters: Mapping[str, Distribution]
    coefficients: tuple[Coefficient, ...]
    levels: tuple[Level, ...]
    shape: Callable[[Mapping], object]
    gmfm66: np.ndarray
    likelihood: Likelihood

    @property
    def labelled(self) -> list[tuple[str, str | float | None]]:
        """Variable and label of every coefficient."""
        return [(c.variable, c.label) for c in self.coefficients]

    def named(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return values (S, p) of the coefficients as they are drawn: by name, (S,) or (S, labels)."""
        places: dict[str, list[int]] = {}
        for i, c in enumerate(self.coefficients):
            if c.parameter is None:
                places.setdefault(c.drawn, []).append(i)
        labelled = {c.drawn for c in self.coefficients if c.dim}
        return {
            n: np.stack([values[:, i] for i in at], axis=-1) if n in labelled else values[:, at[0]]
            for n, at in places.items()
        }

    def stacked(self, named: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return draws by name, (S,) or (S, labels), as the values (S, p) of `named`; 1 where a parameter is all."""
        size = len(next(iter(named.values())))
        parts = {c.drawn: np.ones(size) if c.parameter else named[c.drawn] for c in self.coefficients}
        return np.column_stack(list(parts.values()))

    @cached_property
    def slots(self) -> list[tuple[int, np.ndarray]]:
        """Return the units of heterogeneity as (level, mask (B, n)): each block's first unit, its second, and so on."""
        found = []
        for number, level in enumerate(self.levels):
            units = np.where(self.likelihood.inside, level.units[self.likelihood.index], NOWHERE)
            distinct = [[u for u in dict.fromkeys(row) if u != NOWHERE] for row in units.tolist()]
            for k in range(max(map(len, distinct))):
                kth = np.array([of_block[k] if k < len(of_block) else -2 for of_block in distinct])
                found.append((number, units == kth[:, None]))
        return found

    def scale(self, phi: Mapping):
        """Return the scale of every contrast, (..., K): what one GMFM-66 point is on its own scale."""
        if "r" not in phi:
            return np.ones(self.gmfm66.size)
        return self.gmfm66 + (~self.gmfm66) / phi["r"]

    def columns(self, phi: Mapping, parts: tuple | None = None) -> list:
        """Return the column of every coefficient, (..., K) each, in the unit of the reported effects.

        A pooled coefficient is sd x b with b ~ Normal(0, 1), so that its column holds the sd; one that is a parameter
        has it in its column, and b = 1. A column of degree k on
        its own scale is column / scale^k in GMFM-66 points. parts: scale(phi) and shape(phi) where they are at hand.
        """
        scale, shape = parts or (self.scale(phi), self.shape(phi))
        return [
            (scale ** (1 - c.degree) if c.degree else scale)
            * c.column
            * (shape if c.on_curve else 1.0)
            * (phi[c.factor] if c.factor else 1.0)
            for c in self.coefficients
        ]

    def loads(self, phi: Mapping, parts: tuple | None = None) -> list:
        """Return what a deviation of one standard deviation does to every contrast, (..., K) for each level."""
        scale, shape = parts or (self.scale(phi), self.shape(phi))
        effect = scale * shape
        return [effect * level.sd(phi) for level in self.levels]

    def gains(self, loads) -> list:
        """Return the loads by unit, at the places of the blocks: (..., B, n) for each slot."""
        return [self.likelihood.place(loads[level]) * mask for level, mask in self.slots]


def structure(spec: ModelSpec, data: xr.Dataset) -> Structure:
    """Return the structure of a declared model for a Dataset(contrast).

    r, the ratio of scales, is left out where every contrast was measured on the GMFM-66, since nothing there depends
    on it.

    Raises ValueError if the curve needs a dose, or a term a covariate, that is not known, for `hidden_by_pools` and for
    `alike_controls`.
    """
    missing = not_known(spec, data)
    if missing:
        raise ValueError("; ".join(f"{what} is not known for {', '.join(names)}" for what, names in missing))
    if reason := hidden_by_pools(spec, data) or alike_controls(spec, data):
        raise ValueError(reason)
    curve = spec.shape
    gmfm66 = data["gmfm66"].values
    arms = data["dose"].values, data["control_dose"].values, data["month"].values if "course" in spec.terms else None
    amplitude = Coefficient(curve.amplitude, np.ones(gmfm66.size), spec.priors[curve.amplitude])
    added = [c for name in spec.terms for c in TERMS[name].coefficients(data, spec.priors)]
    levels = _levels(spec, data)
    nonlinear = {name for term in spec.terms for name in TERMS[term].nonlinear} | {c.parameter for c in added}
    linear = {name for term in spec.terms for name in TERMS[term].priors if name not in nonlinear}
    left_out = {curve.amplitude, *linear, *(("r",) if gmfm66.all() else ())}
    se = data["se"].isel(reading=0).values
    se = se * np.where(gmfm66, 1.0, spec.priors["r"].ppf(0.5))  # priors of tau that depend on them are in its points
    return Structure(
        {name: spec.priors[name].given(se) for name in spec.parameters if name not in left_out},
        (amplitude, *added),
        levels,
        lambda phi: difference(spec, *arms, phi),
        gmfm66,
        likelihood(data, np.array([level.units for level in levels])),
    )


def difference(spec: ModelSpec, dose, control_dose, month, phi: Mapping):
    """Return f(dose) - f(control dose); with a course in time, times the share that is present at the month."""
    curve = spec.shape
    nonlinear = [phi[name] for name in curve.nonlinear]
    found = curve.shape(dose, *nonlinear) - curve.shape(control_dose, *nonlinear)
    return found if month is None else found * time_course(month, *(phi[name] for name in COURSE))


def _levels(spec: ModelSpec, data: xr.Dataset) -> tuple[Level, ...]:
    """Return the levels of heterogeneity: between studies, within them between months, between arms, and by covariates.

    Where a mean of a study's children is not known, m + s e with e ~ Normal(0, 1), the study deviates by slope x s x e.

    With a course in time the deviations of a study at months s < t correlate by rho^log2(t / s): that at its last month
    is new, each earlier one in part what the next later one leaves it (an Ornstein-Uhlenbeck process in log time).
    A contrast that is the mean of k trials deviates by the mean of their deviations, with the SD of one / sqrt(k).
    """
    names = data["study"].values.tolist()
    study = np.array([list(dict.fromkeys(names)).index(name) for name in names])
    if "months" in spec.terms:
        levels = [
            Level("study", study, lambda phi: phi["tau"] * phi["rho"] ** 0.5),
            Level("visit", _within(study, data["month"]), lambda phi: phi["tau"] * (1.0 - phi["rho"]) ** 0.5),
        ]
    elif "course" in spec.terms:
        levels = _in_time(study, data["month"].values)
    else:
        levels = [Level("study", study, lambda phi: phi["tau"])]
    if "arms" in spec.terms:
        arm = data["arm" if "arm" in data else "contrast"]
        levels.append(Level("arm", _within(study.astype(str), arm.astype(str)), lambda phi: phi["tau_arm"]))
    if "pooled_trials" in data:
        share = data["pooled_trials"].values ** -0.5
        levels = [replace(level, sd=partial(_of_means, level.sd, share)) for level in levels]
    unknown = {slope: covariate_sd(data, name) for slope, name in SLOPES.items() if name in spec.terms}
    levels += [Level(SLOPES[n], study, partial(_of_unknown, n, sd)) for n, sd in unknown.items() if sd.any()]
    return tuple(levels)


def _in_time(study: np.ndarray, month: np.ndarray) -> list[Level]:
    """Return a level for the last month of every study, and one for each month before that of the study with most.

    With months t_0 > t_1 > ... of a study, a deviation of level k is shared by the contrasts at t_k and before:
    tau rho^log2(t_k / t) sqrt(1 - rho^(2 log2(t_k-1 / t_k))) of it at month t.
    """
    later = [np.unique(month[study == s])[::-1] for s in study]  # of its study, by contrast
    levels = []
    for k in range(max(m.size for m in later)):
        here = np.array([m[k] if k < m.size else np.nan for m in later])
        before = np.array([m[k - 1] if 0 < k < m.size else np.inf for m in later])
        has = month <= here  # never where a study has no such month
        lag, step = (np.log2(np.where(has, x, 1.0)) for x in (here / month, before / here))
        name, units = f"visit {k} before the last" if k else "study", np.where(has, study, NOWHERE)
        levels.append(Level(name, units, partial(_left, lag, step, has.astype(float))))
    return levels


def _left(lag: np.ndarray, step: np.ndarray, has: np.ndarray, phi: Mapping):
    """Return tau rho^lag sqrt(1 - rho^(2 step)), (..., K); step is infinite at the last month, lags count doublings."""
    new = 1.0 if np.isinf(step[has > 0]).all() else (1.0 - phi["rho"] ** (2.0 * np.where(has > 0, step, 1.0))) ** 0.5
    return phi["tau"] * phi["rho"] ** lag * new * has


def _of_means(sd: Callable[[Mapping], object], share: np.ndarray, phi: Mapping):
    """Return the SD of the deviation of every contrast, (..., K): `sd` of one trial's, times share (K,)."""
    return sd(phi) * share


def _of_unknown(slope: str, sd: np.ndarray, phi: Mapping):
    """Return the SD of the deviation of every contrast, (..., K), by a mean of its children with the SD sd (K,)."""
    return phi[slope] * sd


def hidden_by_pools(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return what a model asks of every trial that a pool of several hides, or None."""
    if "pooled_trials" not in data:
        return None
    pools = ", ".join(data["contrast"].values[data["pooled_trials"].values > 1].tolist())
    if spec.heterogeneity == "student_t":
        return f"study effects are Student-t, and the mean of several, {pools}, is not"
    if biased := [name for name in spec.terms if name in ("pet", "peese")]:
        return f"the term {biased[0]} needs the standard error of each trial, which {pools} does not give"
    if named := [name for name in spec.parameters if type(spec.priors[name]).given is not Distribution.given]:
        return f"the prior of {named[0]} needs the standard error of each trial, which {pools} does not give"
    return None


def alike_controls(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return which treated arm stands against several controls that a model takes as one, or None."""
    if "control" not in data:
        return None
    told = covariate(data, "epo").tolist() if "epo" in spec.terms else [0.0] * data.sizes["contrast"]
    seen: dict[tuple, dict] = {}
    columns = (data[name].values.tolist() for name in ("study", "arm", "month", "control"))
    for *arm, control, epo in zip(*columns, told, strict=True):
        seen.setdefault(tuple(arm), {})[control] = epo
    for (study, arm, _), controls in seen.items():
        if len(set(controls.values())) < len(controls):
            return f"{study} {arm} stands against {' and '.join(controls)}, which the model does not tell apart"
    return None


def _within(study: np.ndarray, units: xr.DataArray) -> np.ndarray:
    """Return the number of each distinct pair of study and unit, (K,)."""
    return np.unique(np.stack([study, units.values]), axis=1, return_inverse=True)[1].ravel()


def not_known(spec: ModelSpec, data: xr.Dataset) -> list[tuple[str, list[str]]]:
    """Return what a model needs and the contrasts that lack it: the dose of a curve, the covariate of a term."""
    unknown = []
    if spec.shape.uses_dose:
        unknown.append(("the dose", ~np.isfinite(data["dose"].values + data["control_dose"].values)))
    for name in spec.terms:
        if needs := TERMS[name].needs:
            values = covariate(data, needs)
            blank = values == "" if values.dtype.kind in "UO" else ~np.isfinite(values)
            unknown.append((f"the {needs.replace('_', ' ')}", blank))
    names = data["contrast"].values
    return [(what, names[rows].tolist()) for what, rows in unknown if rows.any()]
