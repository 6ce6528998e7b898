"""What a model says of the effect under a condition: once, for draws, for components of a mixture, and for priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.model.curves import Curve, time_course
from gmfmsim.model.draws import by_draw
from gmfmsim.model.setting import Setting
from gmfmsim.model.terms import COURSE, REFERENCE, SLOPES, along
from gmfmsim.streams import stream

INTERVAL_PROB = 0.95
"""Probability of the intervals of effects; the reports print it beside them."""
BETWEEN = ("tau", "tau_arm", "tau_group")
"""The standard deviations of the amplitude by which a new study differs from the mean of studies."""
LABELLED = {
    "class_effect": "cell_class",
    "route_effect": "route",
    "month_effect": "month",
    "group_effect": "country",
}
"""The coefficients of which one counts, and what of a condition says which."""

type Labelled = tuple[str, str | float | None]
"""A coefficient: its variable, and its label where there are several."""


@dataclass(frozen=True)
class Condition:
    """Under what an effect is asked for: dose in cells/kg, month since first infusion, cells and children."""

    dose: float
    month: float = REFERENCE["month"]
    setting: Setting = field(default_factory=Setting)

    def value(self, name: str) -> str | float | None:
        """Return the month, or what the setting says."""
        return self.month if name == "month" else getattr(self.setting, name)


class Effect(NamedTuple):
    """The effect under a condition against dose 0, given parameters: amplitude x share.

    The amplitude in the mean of studies is counts' coefficients, counts (p,); in a new study it is Student-t(df) with
    the squared scale `between` around that, (S,) both, df infinite where studies are normal. share (S,): f(dose), times
    what is present at the month.
    Biases of designs and small studies are no part of an effect.
    """

    counts: np.ndarray
    share: np.ndarray
    between: np.ndarray
    df: np.ndarray

    @property
    def loading(self) -> np.ndarray:
        """What a unit of each coefficient adds to the mean of studies, (S, p)."""
        return self.share[:, None] * self.counts

    @property
    def scatter(self) -> np.ndarray:
        """The scale of the effects of new studies around their mean, (S,): sqrt(between) |share|."""
        return np.sqrt(self.between) * abs(self.share)


def effect(curve: Curve, coefficients: Sequence[Labelled], phi: Mapping[str, np.ndarray], at: Condition) -> Effect:
    """Return what a model says of the effect under a condition.

    coefficients: the amplitude of the curve first; phi: the other parameters by name, (S,) each. Only scales that are
    among them count in `between`.

    Raises ValueError for a class of cells that the model does not know.
    """
    size = np.broadcast_shapes((1,), *(np.shape(value) for value in phi.values()))
    share = curve.shape(np.float64(at.dose), *(phi[name] for name in curve.nonlinear))
    if COURSE[0] in phi:
        share = share * time_course(at.month, *(phi[name] for name in COURSE))
    told = ("group_effect", at.setting.country) in coefficients  # studies of a country of the evidence share its effect
    between = sum(phi[name] ** 2 for name in BETWEEN if name in phi and not (told and name == "tau_group"))
    classes = [label for name, label in coefficients if name == "class_effect"]
    if classes and at.setting.cell_class not in classes:
        raise ValueError(f"no class_effect of {at.setting.cell_class!r}: there are {', '.join(map(str, classes))}")
    counts = np.array([1.0, *(_count(name, label, at) for name, label in coefficients[1:])])
    return Effect(counts, *(np.broadcast_to(x, size) for x in (share, between, phi.get("nu", np.inf))))


def _count(variable: str, label: str | float | None, at: Condition) -> float:
    """Return how often a coefficient counts in the amplitude: not for other labels, and biases."""
    if variable in LABELLED:
        return float(label == at.value(LABELLED[variable]))
    if variable in SLOPES:
        return along(SLOPES[variable], at.value(SLOPES[variable]))
    return 0.0


def effect_draws(posterior: xr.DataTree, curve: Curve, arms: Mapping[str, Condition]) -> xr.Dataset:
    """Return the effect at every posterior draw: `mean` of studies, `scatter` between them (chain, draw, arm), and df.

    Of `effect`, in every arm: counts' coefficients x share, scatter; df (chain, draw). Coordinate `dose` (arm).
    """
    group = posterior["posterior"].to_dataset()
    values = {(curve.amplitude, None): by_draw(group[curve.amplitude])}
    for name in (*LABELLED, *SLOPES):
        if name in group:
            dim = LABELLED.get(name)
            labels = group[dim].values.tolist() if dim else [None]
            values |= {(name, x): by_draw(group[name].sel({dim: x}) if dim else group[name]) for x in labels}
    phi = {name: by_draw(group[name]) for name in (*curve.nonlinear, *COURSE, *BETWEEN, "nu") if name in group}
    found = [effect(curve, list(values), phi, at) for at in arms.values()]
    amplitude, *added = values.values()
    mean = [
        (amplitude + sum(c * b for c, b in zip(one.counts[1:], added, strict=True) if c)) * one.share for one in found
    ]
    shape = (group.sizes["chain"], group.sizes["draw"])
    by_arm = {"mean": np.stack(mean, axis=-1), "scatter": np.stack([one.scatter for one in found], axis=-1)}
    return xr.Dataset(
        {name: (("chain", "draw", "arm"), value.reshape(*shape, -1)) for name, value in by_arm.items()}
        | {"df": (("chain", "draw"), found[0].df.reshape(shape))},
        coords={name: group.coords[name] for name in ("chain", "draw") if name in group.coords}
        | {"arm": list(arms), "dose": ("arm", [at.dose for at in arms.values()])},
    )


class Mixture(Protocol):
    """A posterior as a mixture of normals: parameters phi (J,) by name and linear coefficients, normal given these.

    node (C,): which of the J values of the parameters each component of `linear` has.
    """

    phi: Mapping[str, np.ndarray]
    node: np.ndarray
    labelled: Sequence[Labelled]

    def linear(self, loading: np.ndarray, variance: np.ndarray | float = 0.0):
        """Return the NormalMixture of loading' coefficients + Normal(0, variance); loading (J, p), variance (J,)."""


Of = Literal["mean", "new_study"]
"""Of what the effect is asked: the mean of studies, or a new study."""


def effect_at(exact: Mixture, curve: Curve, at: Condition, of: Of):
    """Return the distribution (NormalMixture) of the effect under a condition.

    Mean of studies: amplitude x share; new study: Normal(mean, between share^2).
    """
    found = effect(curve, exact.labelled, exact.phi, at)
    return exact.linear(found.loading, found.between * found.share**2 if of == "new_study" else 0.0)


def deviations(effects: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
    """Return one standardised deviation of a new study a draw, (S,): normal, or Student-t where df is finite."""
    df = effects["df"].values.ravel()
    z, heavy = rng.standard_normal(df.size), np.isfinite(df)
    if heavy.any():
        z[heavy] *= np.sqrt(df[heavy] / (2 * rng.standard_gamma(df[heavy] / 2)))
    return z


def band(effects: xr.Dataset, dim: str, at: np.ndarray, seed: int) -> xr.Dataset:
    """Return the effect over doses or months: mean and equal-tailed 95 % interval (kind, dim); mean and new_study.

    effects: `effect_draws` with one arm for each of `at`. new_study is what one further study would show if it were
    large: its mean, or its centre where heterogeneity has no mean, is that of studies.
    """
    mean, scatter = (effects[name].values.reshape(-1, effects.sizes["arm"]) for name in ("mean", "scatter"))
    z = deviations(effects, stream(seed, f"{dim}-response"))
    values = np.stack([mean, mean + scatter * z[:, None]])
    low, high = np.quantile(values, [(1 - INTERVAL_PROB) / 2, (1 + INTERVAL_PROB) / 2], axis=1)
    figures = {"effect": np.stack([mean.mean(axis=0)] * 2), "low": low, "high": high}
    return xr.Dataset(
        {name: (("kind", dim), value) for name, value in figures.items()},
        coords={"kind": ["mean", "new_study"], dim: np.asarray(at, float)},
        attrs={"interval": "equal-tailed", "interval_prob": INTERVAL_PROB},
    )
