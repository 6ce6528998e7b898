"""Simulation-based calibration: truths from the prior, data from the model, and where the posterior puts the truths.

With a right engine the posterior probability of values below the truth is uniform on (0, 1) over such data sets, for
every quantity (Cook, Gelman & Rubin 2006; Talts et al. 2018), derived ones included (Modrak et al. 2023).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import special, stats

from gmfmsim.model.complete import from_prior
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.effect import Condition, Labelled, effect, effect_at
from gmfmsim.model.exact import posterior
from gmfmsim.model.gate import may_miss
from gmfmsim.model.nuts import Sampler, build, with_doses
from gmfmsim.model.setting import Setting
from gmfmsim.model.structure import structure
from gmfmsim.model.terms import covariate
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
    raw = np.concatenate([c.from_prior(rng, 1) for c in model.coefficients])
    own, given = model, dict(phi)
    if "dose_error" in spec.terms:
        own, given["dose_offset"] = with_doses(model, spec, design), rng.standard_normal((1, design.sizes["contrast"]))
    y = from_prior(own, given, raw[None], rng, nu=phi.get("nu"))[3][0]
    sd = np.array([phi[c.factor][0] if c.factor else 1.0 for c in model.coefficients])
    truth = quantities(spec, model.labelled, phi, sd * raw[None], rng, highest_dose(design))
    first = design["effect"].isel(reading=0)
    effect = design["effect"] + xr.DataArray(y - first.values, dims="contrast")
    return Simulated(design.assign(effect=effect), {name: float(v[0]) for name, v in truth.items()}, seed, number)


def quantities(
    spec: ModelSpec,
    labelled: Sequence[Labelled],
    phi: Mapping[str, np.ndarray],
    coefficients: np.ndarray,
    rng: np.random.Generator,
    at: Condition,
) -> dict[str, np.ndarray]:
    """Return what is calibrated, (S,) by name; from parameters phi (S,) and coefficients (S, p), labelled.

    The parameters, the coefficients, and two derived ones under a condition: the mean `effect` of studies, and the
    effect in a `new study`, whose deviation is drawn here.
    """
    found = effect(spec.shape, labelled, phi, at)
    z = rng.standard_normal(coefficients.shape[0])
    if "nu" in phi:
        z /= np.sqrt(rng.chisquare(found.df) / found.df)
    mean = (found.loading * coefficients).sum(axis=1)
    named = {_name(*one): coefficients[:, i] for i, one in enumerate(labelled)}
    return dict(phi) | named | {"effect": mean, "new study": mean + found.scatter * z}


def highest_dose(data: xr.Dataset) -> Condition:
    """Return the condition of the contrast with the highest dose."""
    row = data.isel(contrast=[int(np.nanargmax(data["dose"].values))])
    known = {name: covariate(row, name).tolist()[0] for name in Setting.model_fields if name in row}
    setting = Setting(**{name: value for name, value in known.items() if value not in ("", None) and value == value})
    month = {"month": float(row["month"].item())} if "month" in row else {}
    return Condition(float(row["dose"].item()), setting=setting, **month)


def exact_engine(spec: ModelSpec, design: xr.Dataset) -> Engine:
    """Return the exact engine: it places a truth by its distribution functions, without draws."""

    def place(simulated: Simulated) -> Placed:
        found = posterior(structure(spec, simulated.data))
        if found.missed > (most := may_miss(found)):
            raise ValueError(f"missed density {found.missed:.2g}, at most {most:g}")
        laws = {_name(*one): found.coefficient(*one) for one in found.labelled}
        laws |= {name: found.parameter(name) for name in found.prepared.names}
        at = highest_dose(simulated.data)
        both = tuple(effect_at(found, spec.shape, at, of) for of in ("mean", "new_study"))
        laws |= dict(zip(("effect", "new study"), both, strict=True))
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
        tree = nutpie.sample(
            compiled.with_data(effect=simulated.data["effect"].isel(reading=0).values),
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
        at = highest_dose(simulated.data)
        ranked = quantities(spec, model.labelled, phi, np.column_stack(values), rng, at)
        jitter = rng.random(len(ranked))
        pit = {
            name: float(((ranked[name] < value).sum() + u) / (RANKED + 1))
            for (name, value), u in zip(simulated.truth.items(), jitter, strict=True)
        }
        return Placed(pit, divergences, r_hat)

    return place


def _name(variable: str, label: str | float | None) -> str:
    return variable if label is None else f"{variable}[{label}]"


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
