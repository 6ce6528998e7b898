"""Terms that a model may add to its dose-response curve: what each adds to the effect of a contrast."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Distribution

TermName = Literal[
    "cell_class",
    "route",
    "group",
    "arms",
    "months",
    "course",
    "age",
    "gmfcs",
    "claimed_age",
    "infusions",
    "epo",
    "design_bias",
    "small_study",
    "pet",
    "peese",
    "dose_error",
]
SCALES = ("tau", "tau_arm", "tau_class", "tau_group")
"""Standard deviations of effects between studies, arms, classes of cells, countries: known by their squares alone."""
SHARES = ("rho",)
"""Parameters of terms between 0 and 1."""
COURSE = ("rise", "peak", "decline")
"""Parameters of the course of an effect in time, months."""
REFERENCE = {"age": 4.0, "gmfcs": 3.0, "claimed_age": 0.0, "month": 12.0}
"""Where the covariate of a term counts nothing: years, GMFCS level, share of children of 3 to 10 years, month."""
SLOPES = {
    "age_slope": "age",
    "gmfcs_slope": "gmfcs",
    "claimed_age_slope": "claimed_age",
    "infusions_slope": "infusions",
}
"""The coefficients by which the amplitude goes with a covariate, and with which; see `along`."""


@dataclass(frozen=True)
class Coefficient:
    """A linear coefficient: adds value x column to the amplitude of the curve, or to the effect itself.

    `variable` [label] names it in the posterior, `dim` is the dimension of the labels. Its prior is `prior` (flat if
    None) or, with `pooled`, Normal(0, that parameter). With `parameter` its value is that non-linear parameter, which
    the column then holds, and what is left of it is 1. The column is of this degree in the points of the contrast's own
    scale: 1 for its standard error, 0 where the scale does not matter.
    """

    variable: str
    column: np.ndarray
    prior: Distribution | None = None
    on_curve: bool = True
    label: str | float | None = None
    dim: str | None = None
    pooled: str | None = None
    degree: int = 0
    parameter: str | None = None

    @property
    def factor(self) -> str | None:
        """The parameter that its column is multiplied with, if any."""
        return self.pooled or self.parameter

    def from_prior(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Return draws (size,) of what its column is multiplied with: standard deviations of a pooled one."""
        if self.parameter:
            return np.ones(size)
        return rng.standard_normal(size) if self.pooled else self.prior.ppf(rng.random(size))

    @property
    def drawn(self) -> str:
        """The name of what an engine draws: of a pooled coefficient its offset, in standard deviations."""
        return f"{self.variable}_offset" if self.pooled else self.variable


NOWHERE = -1
"""The unit of a contrast that has no deviation at a level."""


@dataclass(frozen=True)
class Level:
    """A level of heterogeneity: units (K,) each with a deviation of the amplitude ~ Normal(0, sd(parameters)).

    sd(parameters): one for all, or (..., K) by contrast, which says too how much of it a contrast has.
    """

    name: str
    units: np.ndarray
    sd: Callable[[Mapping], object]

    def by_unit(self, sd: np.ndarray) -> np.ndarray:
        """Return standard deviations (..., 1) or (..., K) by unit, (..., units): of its contrasts that have most."""
        sd = np.broadcast_to(sd, (*sd.shape[:-1], self.units.size))
        return np.stack([sd[..., self.units == unit].max(axis=-1) for unit in np.unique(self.units)], axis=-1)


@dataclass(frozen=True)
class Term:
    """One term: the parameters it needs a prior for, its mathematics, the covariate it needs, and its coefficients.

    The levels of heterogeneity that a term adds stand in `structure`, the errors of doses in `nuts`.
    """

    priors: tuple[str, ...]
    formula: str
    needs: str | None = None
    coefficients: Callable[[xr.Dataset, Mapping], list[Coefficient]] = field(default=lambda data, priors: [])

    @property
    def nonlinear(self) -> tuple[str, ...]:
        """Those of its parameters that are standard deviations, shares or months, not coefficients."""
        return tuple(name for name in self.priors if name in (*SCALES, *SHARES, *COURSE))


def route(text: str) -> str:
    """Return which of two kinds a route is: intravenous or other; "" where it is not known.

    intravenous: into the blood, by vein or artery ("IV", "IV/IA"). other: into the spinal canal, the brain or the nose,
    also where a vein is used beside it ("IT", "intraventricular", "IV+IT").
    """
    ways = {way.strip() for way in re.split("[+/]", text)}
    if ways & {"", "unknown", "mixed"}:
        return ""
    return "intravenous" if ways <= {"IV", "IA"} else "other"


def covariate_sd(data: xr.Dataset, name: str) -> np.ndarray:
    """Return the SD of what a covariate of the contrasts may be, (K,): 0 where it is known."""
    sd = f"{name}_sd"
    return data[sd].values if sd in data else np.zeros(data.sizes["contrast"])


def covariate(data: xr.Dataset, name: str) -> np.ndarray:
    """Return a covariate of the contrasts as the terms read it, (K,): NaN or "" where it is not known."""
    if name not in data:
        return np.full(data.sizes["contrast"], np.nan)
    values = data[name].values
    return np.array([route(str(value)) for value in values]) if name == "route" else values


def along(name: str, value):
    """Return how often the slope of a covariate counts at its values: doublings of one infusion; or from REFERENCE on,
    of what the children of a study are on average."""
    return np.log2(value) if name == "infusions" else value - REFERENCE[name]


def _by_label(name: str, by: str, labels: Callable[[np.ndarray], list], pooled: str | None = None) -> Callable:
    """Return coefficients `name` [label] for labels of the values of `by`: ~ Normal(0, pooled), or with its prior."""

    def coefficients(data, priors):
        values, prior = covariate(data, by), None if pooled else priors[name]
        return [
            Coefficient(name, (values == label).astype(float), prior, label=label, dim=by, pooled=pooled)
            for label in labels(values)
        ]

    return coefficients


def _by_number(name: str, by: str, column: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """Return the one coefficient `name` of a column that the values of `by` give, added to the effect itself."""

    def coefficients(data, priors):
        return [Coefficient(name, column(covariate(data, by).astype(float)), priors[name], on_curve=False)]

    return coefficients


def _by_slope(name: str) -> Callable:
    """Return the one coefficient `name` along its covariate: linear where that is known.

    Where it is not, the slope also says how far studies deviate by it (`structure`), and so is non-linear.
    """
    by = SLOPES[name]

    def coefficients(data, priors):
        column = along(by, covariate(data, by).astype(float))
        if covariate_sd(data, by).any():
            return [Coefficient(name, column, parameter=name)]
        return [Coefficient(name, column, priors[name])]

    return coefficients


def mean_se(data: xr.Dataset) -> np.ndarray:
    """Return the standard error of every contrast on its own scale, (K,): the geometric mean over its readings.

    exp(sum over readings of weight x log se), se the median where it is not known. A regression on it has one column
    under all readings, so that both engines take it as a linear coefficient; the error of a reading that is out of line
    moves it by its weight.
    """
    log_se = np.log(data["se"].transpose("reading", "contrast").values)
    found: np.ndarray = np.exp((data["weight"].values[:, None] * log_se).sum(axis=0))
    return found


def _by_error(name: str, degree: int) -> Callable:
    """Return the one coefficient `name` of the standard error to a power."""

    def coefficients(data, priors):
        return [Coefficient(name, mean_se(data) ** degree, priors[name], on_curve=False, degree=degree)]

    return coefficients


def _every(values: np.ndarray) -> list:
    return sorted(set(values.tolist()))


TERMS: dict[str, Term] = {
    "cell_class": Term(
        ("tau_class",),
        "amplitude += class_effect[class],  class_effect ~ Normal(0, tau_class)",
        "cell_class",
        _by_label("class_effect", "cell_class", _every, "tau_class"),
    ),
    "route": Term(
        ("route_effect",),
        "amplitude += route_effect[route],  0 for intravenous (by artery too); other: canal, brain, nose, or both ways",
        "route",
        # always there, so that a trial by the other route has the prior where no contrast tells of it
        _by_label("route_effect", "route", lambda values: ["other"]),
    ),
    "group": Term(
        ("tau_group",),
        "amplitude += group_effect[country],  group_effect ~ Normal(0, tau_group): studies within countries",
        "country",
        _by_label("group_effect", "country", _every, "tau_group"),
    ),
    "arms": Term(
        ("tau_arm",), "amplitude += tau_arm v_c,  v_c ~ Normal(0, 1): arms of one study differ beyond their doses"
    ),
    "months": Term(
        ("month_effect", "rho"),
        "amplitude += month_effect[month],  0 at month 12; deviations of a study at two months correlate by rho",
        "month",
        _by_label("month_effect", "month", lambda values: _every(values[values != REFERENCE["month"]])),
    ),
    "course": Term(
        (*COURSE, "rho"),
        "theta_c *= g(month_c),  g(t) = (1 - exp(-t / rise)) exp(-max(t - peak, 0) / decline); deviations of a study "
        "at months s < t correlate by rho^log2(t / s)",
        "month",
    ),
    "age": Term(
        ("age_slope",),
        "amplitude += age_slope (age_i - 4),  age_i = m_i + s_i e_i years,  e_i ~ Normal(0, 1): s_i 0 where printed",
        "age",
        _by_slope("age_slope"),
    ),
    "gmfcs": Term(
        ("gmfcs_slope",),
        "amplitude += gmfcs_slope (level_i - 3),  level_i = m_i + s_i e_i,  e_i ~ Normal(0, 1): s_i 0 where counted",
        "gmfcs",
        _by_slope("gmfcs_slope"),
    ),
    "claimed_age": Term(
        ("claimed_age_slope",),
        "amplitude += claimed_age_slope p_i,  p_i = m_i + s_i e_i: share of 3 to 10 years,  e_i ~ Normal(0, 1)",
        "claimed_age",
        _by_slope("claimed_age_slope"),
    ),
    "infusions": Term(
        ("infusions_slope",),
        "amplitude += infusions_slope log2(number of infusions)",
        "infusions",
        _by_slope("infusions_slope"),
    ),
    "epo": Term(
        ("epo_effect",),
        "effect += epo_effect (erythropoietin with the cells - in the control arm); 0 in the next trial",
        "epo",
        _by_number("epo_effect", "epo", lambda more: more),
    ),
    "design_bias": Term(
        ("design_bias",),
        "effect += design_bias where children were not randomised; 0 in the next trial",
        "randomised",
        _by_number("design_bias", "randomised", lambda randomised: 1.0 - randomised),
    ),
    "small_study": Term(
        ("small_study",),
        "effect += small_study sqrt(1/n_active + 1/n_control) (Pustejovsky & Rodgers 2019); 0 in the next trial",
        "small_study",
        _by_number("small_study", "small_study", lambda error: error),
    ),
    "pet": Term(
        ("pet",),
        "effect += pet se_c (Stanley & Doucouliagos 2014); 0 in the next trial",
        coefficients=_by_error("pet", 1),
    ),
    "peese": Term(
        ("peese",),
        "effect += peese se_c^2 (Stanley & Doucouliagos 2014); 0 in the next trial",
        coefficients=_by_error("peese", 2),
    ),
    "dose_error": Term(
        (), "log10 dose_c = log10 reported dose_c + log10_dose_sd_c e_c,  e_c ~ Normal(0, 1)", "log10_dose_sd"
    ),
}
