"""Simulation-based calibration: truths from the prior, data from the model, and where the posterior puts the truths.

With a right engine the posterior probability of values below the truth is uniform on (0, 1) over such data sets, for
every quantity (Cook, Gelman & Rubin 2006; Talts et al. 2018), derived ones included (Modrak et al. 2023).
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import special, stats

from gmfmsim.model.complete import from_prior
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import posterior
from gmfmsim.model.gate import MISSED_MAX
from gmfmsim.model.nuts import Sampler, build, with_doses
from gmfmsim.model.structure import Structure, structure
from gmfmsim.streams import seed_sequence, stream

RANKED = 100
"""Draws that a truth is ranked among: few enough of a sampled posterior to be as good as independent."""
POINTS = 100
"""Steps on which an empirical distribution function is compared with the uniform one."""


@dataclass(frozen=True)
class Simulated:
    """Data set `number` of a seed: the contrasts, and the true value of every quantity by name."""

    data: xr.Dataset
    truth: dict[str, float]
    seed: int
    number: int


class Placed(NamedTuple):
    """Where a posterior puts the truth: P(quantity <= truth) by name; divergences and worst R-hat if it was sampled."""

    pit: dict[str, float]
    divergences: int = 0
    r_hat: float = 1.0


type Engine = Callable[[Simulated], Placed]


def simulate(spec: ModelSpec, design: xr.Dataset, seed: int, number: int) -> Simulated:
    """Draw parameters from the prior of a model and effects for the contrasts of a design.

    The design gives all but the effects: standard errors, doses, covariates, and what readings add to an effect.
    Raises TypeError or ValueError where a prior is improper.
    """
    rng = stream(seed, "calibrate", number)
    model = structure(spec, design)
    phi = {name: prior.ppf(rng.random(1)) for name, prior in model.parameters.items()}
    raw = np.array([rng.standard_normal() if c.pooled else c.prior.ppf(rng.random()) for c in model.coefficients])
    own, given = model, dict(phi)
    if "dose_error" in spec.terms:
        own, given["dose_offset"] = with_doses(model, spec, design), rng.standard_normal((1, design.sizes["contrast"]))
    y = from_prior(own, given, raw[None], rng, nu=phi.get("nu"))[3][0]
    sd = np.array([phi[c.pooled][0] if c.pooled else 1.0 for c in model.coefficients])
    truth = quantities(model, phi, sd * raw[None], _deviations(phi, len(model.levels), rng), _at(design))
    first = design["effect"].isel(reading=0) if "reading" in design.dims else design["effect"]
    effect = design["effect"] + xr.DataArray(y - first.values, dims="contrast")
    return Simulated(design.assign(effect=effect), {name: float(v[0]) for name, v in truth.items()}, seed, number)


def quantities(model: Structure, phi: Mapping, coefficients: np.ndarray, z: np.ndarray, at: int) -> dict:
    """Return what is calibrated, (S,) by name; from parameters phi (S,), coefficients (S, p), deviations z (S, levels).

    The parameters, the coefficients, and two derived ones under the conditions of contrast `at` (its tabled dose, its
    cells): the mean `effect` of studies, and the effect in a `new study`, which adds heterogeneity.
    """
    loading, sd = conditions(model, phi, at)
    effect = (loading * coefficients).sum(axis=1)
    named = {_name(c): coefficients[:, i] for i, c in enumerate(model.coefficients)}
    return dict(phi) | named | {"effect": effect, "new study": effect + (sd * z).sum(axis=1)}


def conditions(model: Structure, phi: Mapping, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what the coefficients add to the effect of contrast `at`, (S, p), and its SDs by level, (S, levels)."""
    column = {name: value[:, None] for name, value in phi.items()}
    size = next(iter(phi.values())).size
    shape = np.broadcast_to(model.shape(column), (size, model.gmfm66.size))[:, [at]]
    loading = [c.column[at] * (shape if c.on_curve else np.ones((size, 1))) for c in model.coefficients]
    return np.hstack(loading), np.hstack([np.abs(shape) * level.sd(column) for level in model.levels])


def exact_engine(spec: ModelSpec, design: xr.Dataset) -> Engine:
    """Return the exact engine: it places a truth by its distribution functions, without draws."""

    def place(simulated: Simulated) -> Placed:
        found = posterior(structure(spec, simulated.data))
        if found.missed > MISSED_MAX:
            raise ValueError(f"missed density {found.missed:.2g}, at most {MISSED_MAX:g}")
        model = found.prepared.structure
        loading, sd = conditions(model, found.phi, _at(simulated.data))
        laws = {name: found.parameter(name) for name in found.prepared.names}
        laws |= {_name(c): found.coefficient(c.variable, c.label) for c in model.coefficients}
        laws |= {"effect": found.linear(loading), "new study": found.linear(loading, (sd**2).sum(axis=1))}
        return Placed({name: float(laws[name].cdf(value)) for name, value in simulated.truth.items()})

    return place


def nuts_engine(spec: ModelSpec, design: xr.Dataset, how: Sampler) -> Engine:
    """Return the sampling engine, compiled once: it places a truth by its rank among thinned draws.

    P = (rank + u) / (RANKED + 1) with u uniform, so that P is uniform and not discrete.
    """
    import arviz as az
    import nutpie
    import pytensor

    logging.getLogger("pymc").setLevel(logging.ERROR)
    model = structure(spec, design)
    # (as nuts.sample: with fast-math, code taken from the compiler's cache may add in another order)
    with pytensor.config.change_flags(numba__fastmath=False):
        compiled = nutpie.compile_pymc_model(build(spec, design))

    def place(simulated: Simulated) -> Placed:
        effect = simulated.data["effect"]
        tree = nutpie.sample(
            compiled.with_data(effect=(effect.isel(reading=0) if "reading" in effect.dims else effect).values),
            draws=how.draws,
            tune=how.tune,
            chains=how.chains,
            target_accept=how.target_accept,
            seed=int(seed_sequence(simulated.seed, "calibrate nuts", simulated.number).generate_state(1)[0] >> 1),
            cores=1,
            save_warmup=False,
            progress_bar=False,
        )
        draws = tree["posterior"].to_dataset()
        r_hat = max(float(x.max()) for x in az.rhat(draws).values())
        divergences = int(tree["sample_stats"]["diverging"].sum())
        if not np.isfinite(r_hat):
            raise ValueError("draws that do not move or are not finite")
        rng = stream(simulated.seed, "calibrate ranks", simulated.number)
        few = draws.stack(s=("chain", "draw")).isel(s=slice(None, None, how.chains * how.draws // RANKED))
        few = few.isel(s=slice(RANKED))
        phi = {name: few[name].values for name in model.parameters}
        values = [few[c.variable].sel({c.dim: c.label}) if c.dim else few[c.variable] for c in model.coefficients]
        z = _deviations(phi, len(model.levels), rng)
        ranked = quantities(model, phi, np.column_stack(values), z, _at(simulated.data))
        jitter = rng.random(len(ranked))
        pit = {
            name: float(((ranked[name] < value).sum() + u) / (RANKED + 1))
            for (name, value), u in zip(simulated.truth.items(), jitter, strict=True)
        }
        return Placed(pit, divergences, r_hat)

    return place


def _at(data: xr.Dataset) -> int:
    """Return the position of the contrast with the highest dose."""
    return int(np.nanargmax(data["dose"].values))


def _name(c) -> str:
    return c.variable if c.label is None else f"{c.variable}[{c.label}]"


def _deviations(phi: Mapping, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Return standardised deviations of a new study, (S, levels); Student-t between studies where phi has nu."""
    z = rng.standard_normal((next(iter(phi.values())).size, levels))
    if "nu" in phi:
        z[:, 0] /= np.sqrt(rng.chisquare(phi["nu"]) / phi["nu"])
    return z


def uniformity(pit: np.ndarray) -> dict[str, float]:
    """Return how far values (N,) are from uniform, and the coverage of equal-tailed 50 and 95 % intervals.

    ks_distance: the largest distance of their distribution function from the uniform one, ks_p its p-value; ecdf_p:
    the p-value of `ecdf_p`, which sees the tails better.
    """
    ks = stats.kstest(pit, "uniform")
    return {
        "ks_distance": round(float(ks.statistic), 4),
        "ks_p": float(f"{ks.pvalue:.3g}"),
        "ecdf_p": float(f"{ecdf_p(pit):.3g}"),
        **{f"coverage_{p}": round(float((abs(pit - 0.5) <= p / 200).mean()), 4) for p in (50, 95)},
    }


def ecdf_p(pit: np.ndarray) -> float:
    """Return the p-value of the simultaneous band around a uniform distribution function (Saeilynoja et al. 2022).

    At each of POINTS - 1 levels x the count of values <= x is Binomial(N, x) if they are uniform; the statistic is the
    smallest of their tail probabilities, on either side. Its distribution is exact: the counts are those of a Poisson
    process, given N in all, and one step after another keeps the paths whose tails are all larger.
    """
    n, x = pit.size, np.arange(1, POINTS) / POINTS
    count = (pit[:, None] <= x).sum(axis=0)
    k = np.arange(n + 1)[:, None]
    tail = np.minimum(special.bdtr(k, n, x), special.bdtrc(k - 1, n, x))  # (count, level)
    inside = tail > tail[count, np.arange(x.size)].min()
    step = stats.poisson.pmf(np.arange(n + 1), n / POINTS)
    path = np.eye(1, n + 1)[0]
    for level in range(x.size):
        path = np.where(inside[:, level], np.convolve(path, step)[: n + 1], 0.0)
    return float(1 - np.convolve(path, step)[n] / stats.poisson.pmf(n, n))
