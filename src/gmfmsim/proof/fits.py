"""How fast and how exact the exact engines are, against a dense grid and against sampling, measured as they run."""

import subprocess
import sys
import time
import timeit
from collections.abc import Callable

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.evidence.contrasts import contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import ExactPosterior, posterior
from gmfmsim.model.exact.batch import fit_many, prepare_batch
from gmfmsim.model.gate import agreement
from gmfmsim.model.nuts import Sampler, build, sample
from gmfmsim.model.structure import Structure, structure
from gmfmsim.model.truths import belief
from gmfmsim.progress import Silent
from gmfmsim.proof.calibration import CORD_BLOOD
from gmfmsim.trial.exact import success
from gmfmsim.trial.exact.rules import completers
from gmfmsim.trial.presets import read_design

DATA_SETS = 200_000
SIZES, COMPONENTS = range(20, 1020), 200
"""Children an arm and components of the belief, of the cells of operating characteristics."""

DENSE = (56, 36, 80)
"""Nodes of the dense grid in tau, r and log ed50."""
SEED = 1


def exact(*, progress: Silent | None = None) -> dict[str, float]:
    """Measure the exact engine on the Emax model of the cord blood contrasts of the package.

    fit_ms: a warm fit, from the structure to mean, SD and 95 % interval of the amplitude (best of 30); nuts_s: PyMC's
    own sampler, 4 chains x 1000 after 1000 to tune, as one call without imports and with a warm compile cache; ratio:
    nuts_s over fit_ms; nutpie_refit_s: as many draws from a compiled nutpie model on new data; max_rel_error: the
    largest relative difference of means, SDs and tail probabilities from a dense grid; nuts_distance_mcse: the largest
    difference of means and SDs from PyMC's draws, in their Monte Carlo standard errors; batched_fits_per_s: data sets a
    second, 12 studies with random effects; batched_emax_fits_per_s: the Emax model; oc_cells_per_s: sample sizes a
    second whose assurance is computed exactly, one t test of two arms under 200 components, 15 SDs of change and
    drop-out. Of the quick start: quickstart_first_answer_s: `gmfmsim size` from a cold process; sensitivity_table_s:
    all changed assumptions of its one-mean model; sensitivity_surface_s: assurance under four structures, without each
    study, at five SDs and six n.
    """
    progress = progress or Silent()
    spec, data = _default_model()
    model = structure(spec, data)
    progress.stage("Exact fit")
    fit_ms = 1e3 * shortest(lambda: _figures(posterior(model)), 30)
    progress.stage("Dense grid")
    error = max_rel_error(posterior(model), data)
    progress.stage("NUTS, PyMC")
    nuts_s, distance = _nuts(spec, data, posterior(model))
    progress.stage("NUTS, nutpie")
    refit_s = _nutpie(spec, data)
    progress.stage("Many data sets")
    twelve = contrasts_from_arrays(np.zeros(12), np.linspace(1, 2, 12) ** 2)
    small = structure(read_model(ModelChoice(name="random_effects")), twelve)
    return {
        "fit_ms": fit_ms,
        "nuts_s": nuts_s,
        "nutpie_refit_s": refit_s,
        "ratio": nuts_s / (fit_ms / 1e3),
        "max_rel_error": error,
        "nuts_distance_mcse": distance,
        "batched_fits_per_s": _batched(small, DATA_SETS),
        "batched_emax_fits_per_s": _batched(model, DATA_SETS // 100),
        "oc_cells_per_s": oc_cells_per_s(),
        **_how_sure(progress),
    }


def _how_sure(progress: Silent) -> dict[str, float]:
    """Measure, on the plans of the quick start, what its uncertainty takes: see `exact`."""
    import gmfmsim

    progress.stage("First answer, from a cold process")
    command = [sys.executable, "-m", "gmfmsim", "size", "quickstart"]
    first = shortest(lambda: subprocess.run(command, check=True, capture_output=True), 1)
    progress.stage("What moves n")
    table = shortest(lambda: gmfmsim.size("quickstart_one_mean", what_moves=True), 2)
    progress.stage("A thousand cells")
    experiment = gmfmsim.load("quickstart_one_mean")
    experiment.posterior()
    cells = {"structures": ["random_effects", "arms", "route", "months"], "sd": [4, 5, 6, 8, 10]}
    surface = shortest(lambda: experiment.sensitivity(**cells, n=[50, 100, 200, 400, 800, 1600]), 1)
    return {"sensitivity_table_s": table, "sensitivity_surface_s": surface, "quickstart_first_answer_s": first}


def _default_model() -> tuple[ModelSpec, xr.Dataset]:
    """Return the Emax model and the cord blood contrasts as tabled."""
    tables = read_tables()
    data = read_contrasts(select_contrasts(tables, CORD_BLOOD), tables, "as_tabled")
    return read_model(ModelChoice(name="emax")), data


def _figures(fit: ExactPosterior) -> tuple[float, ...]:
    amplitude = fit.coefficient("emax")
    return amplitude.mean, amplitude.sd, *amplitude.interval()


def shortest(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest of some runs in seconds, after one to warm up: what others do on the machine only adds."""
    work()
    return min(timeit.repeat(work, number=1, repeat=repeats))


def _batched(model: Structure, size: int) -> float:
    """Return how many data sets a second one core fits, of noise around 2 points."""
    effects = 2.0 + np.random.default_rng(SEED).standard_normal((size, model.gmfm66.size)) * 2.0
    batch = prepare_batch(model)
    return size / shortest(lambda: fit_many(batch, effects), 3)


def oc_cells_per_s() -> float:
    """Return how many cells of operating characteristics one core computes a second, with nothing kept beforehand."""
    sd = {"dist": "lognormal", "median": 6.0, "sigma": 0.15}
    design = read_design("parallel", overrides={"dropout": 0.15, "sd_change": sd})
    quantile = special.ndtri((np.arange(COMPONENTS) + 0.5) / COMPONENTS)
    believed = belief(np.full(COMPONENTS, 1 / COMPONENTS), 2.4 + 0.8 * quantile, np.exp(0.3 * np.sin(7 * quantile)))

    def cells() -> None:
        completers.cache_clear()
        success(design, design.analyses[0], believed, n=SIZES)

    return len(SIZES) / shortest(cells, 3)


def _nuts(spec: ModelSpec, data: xr.Dataset, fit: ExactPosterior) -> tuple[float, float]:
    """Return seconds of PyMC's sampler with a warm compile cache, and its distance to the exact figures in MCSE."""
    sample(spec, data, Sampler(name="pymc", draws=100, tune=100, chains=2), SEED)
    start = time.perf_counter()
    sampled = sample(spec, data, Sampler(name="pymc", draws=1000, tune=1000, chains=4, target_accept=0.8), SEED)
    seconds = time.perf_counter() - start
    draws = {name: (("chain", "draw"), value) for name, value in sampled.variables.items() if value.ndim == 2}
    rows = agreement(fit, xr.DataTree.from_dict({"posterior": xr.Dataset(draws)}))
    return seconds, max(row["distance"] for row in rows)


def _nutpie(spec: ModelSpec, data: xr.Dataset) -> float:
    """Return seconds to sample a compiled model on new effects."""
    import nutpie

    compiled, first = nutpie.compile_pymc_model(build(spec, data)), data.isel(reading=0)
    rng, how = np.random.default_rng(SEED), {"draws": 1000, "tune": 1000, "chains": 4, "progress_bar": False}

    def refit():
        effect = first["effect"].values + first["se"].values * rng.standard_normal(first.sizes["contrast"])
        nutpie.sample(compiled.with_data(effect=effect), seed=SEED, **how)

    return shortest(refit, 2)


def max_rel_error(fit: ExactPosterior, data: xr.Dataset) -> float:
    """Return the largest relative difference of an Emax fit from a dense grid: means, SDs, P(> 0) and P(new > 0)."""
    gold, new = dense_emax(data), fit.new_study()
    amplitude = fit.coefficient("emax")
    found = {"above_0": amplitude.above(), "new_above_0": new.above()}
    found |= {"below_0": amplitude.cdf(0.0), "new_below_0": new.cdf(0.0)}
    for name in ("emax", "tau", "r", "ed50"):
        found[f"{name}_mean"], found[f"{name}_sd"] = fit.moments(name)
    return max(abs(found[name] / gold[name] - 1) for name in gold)


def dense_emax(data: xr.Dataset, points: tuple[int, int, int] = DENSE) -> dict[str, float]:
    """Return figures of the shipped Emax model on a dense grid, with nothing of the engine but its formulas.

    emax ~ Normal(0, 10), ed50 ~ LogNormal(3e7, 1), tau ~ HalfNormal(2), r ~ Normal(0.56, 0.1) on (0.3, 1):
    y ~ MvNormal(0, V + (tau^2 [same study] + 100) x x') with x = s dose / (ed50 + dose). Gauss and Legendre's rule in
    tau, r and log ed50.
    """
    y, v, dose = (data.isel(reading=0)[name].values for name in ("effect", "covariance", "dose"))
    same = data["study"].values[:, None] == data["study"].values
    bounds = ((0.0, 14.0), (0.3, 1.0), (np.log(3e7) - 7.5, np.log(3e7) + 8.5))
    axes = []
    for (low, high), n in zip(bounds, points, strict=True):
        x, w = np.polynomial.legendre.leggauss(n)
        axes.append((low + (high - low) / 2 * (x + 1), w))
    tau, r, log_ed50 = (g.ravel() for g in np.meshgrid(*(x for x, _ in axes), indexing="ij"))
    weight = np.prod(np.meshgrid(*(w for _, w in axes), indexing="ij"), axis=0).ravel()
    ed50 = np.exp(log_ed50)
    prior = -(tau**2) / 8 - ((r - 0.56) / 0.1) ** 2 / 2 - (log_ed50 - np.log(3e7)) ** 2 / 2
    log_p, mean, variance = np.empty(tau.size), np.empty(tau.size), np.empty(tau.size)
    for rows in np.array_split(np.arange(tau.size), -(-tau.size // 5000)):
        x = np.where(data["gmfm66"].values, 1.0, 1 / r[rows, None]) * dose / (ed50[rows, None] + dose)
        outer = x[:, :, None] * x[:, None, :]
        within = v + tau[rows, None, None] ** 2 * same * outer
        solved = np.linalg.solve(within, np.stack([x, np.broadcast_to(y, x.shape)], axis=-1))
        variance[rows] = 1 / (0.01 + (x * solved[..., 0]).sum(axis=1))
        mean[rows] = variance[rows] * (x * solved[..., 1]).sum(axis=1)
        squares = solved[..., 1] @ y - mean[rows] ** 2 / variance[rows]
        log_p[rows] = prior[rows] - (squares + np.linalg.slogdet(within)[1] - np.log(variance[rows])) / 2
    weight *= np.exp(log_p - log_p.max())
    weight /= weight.sum()
    sd, sd_new = np.sqrt(variance), np.sqrt(variance + tau**2)
    out = {"above_0": weight @ special.ndtr(mean / sd), "new_above_0": weight @ special.ndtr(mean / sd_new)}
    out |= {"below_0": weight @ special.ndtr(-mean / sd), "new_below_0": weight @ special.ndtr(-mean / sd_new)}
    for name, value, extra in (("emax", mean, variance), ("tau", tau, 0), ("r", r, 0), ("ed50", ed50, 0)):
        out[f"{name}_mean"] = weight @ value
        out[f"{name}_sd"] = np.sqrt(weight @ (extra + (value - out[f"{name}_mean"]) ** 2))
    return {name: float(value) for name, value in out.items()}
