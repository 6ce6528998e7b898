"""Simulate trials of a design by the fastest engine that is right for it, with a Monte Carlo error on every figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.streams import stream
from gmfmsim.trial.design import Design
from gmfmsim.trial.operate import engine_of, operate


def simulate(
    truths: xr.Dataset, design: Design, *, n: Iterable[int], seed: int, engine: str = "auto", advance: Steps = UNSEEN
) -> xr.Dataset:
    """Simulate one trial a truth at each n, and return the share that succeeds.

    engine: "auto" for that of `engine_of`, or one that it names. Children and their sufficient statistics are simulated
    by `operate`, which returns more figures; what follows is about two arms and one test. n (children randomised per
    arm, times the arm's ratio) is the only thing that differs between the trials at one truth: they share the same
    noise (common random numbers), so curves over n are smooth, scenarios and runs paired. With n1, n0 completers,
    df = n1 + n0 - 2 and delta = effect / (sd sqrt(1/n1 + 1/n0)):

    - t: succeeds if delta + Z > t(1 - alpha/2, df) sqrt(W / df), with Z ~ Normal(0, 1), W ~ chi2(df);
    - z: succeeds if delta + Z > z(1 - alpha/2).

    (Z, W), the standardised difference of means and pooled variance, suffice for normal changes: no child is drawn. A
    trial with an arm of fewer than two children does not succeed. Of looks each stage has its own: `looks.simulate`.

    truths: effect (scenario, draw, arm), sd_change (draw), batch (draw); see model.truths.
    Returns success and harm (significant against treatment), each with its MCSE, dims (scenario, n, analysis);
    plateau and plateau_mcse (scenario): P(effect > 0) + alpha/2 P(effect = 0), the limit of success as n grows (of a
    design with looks, in place of alpha/2 what its bounds leave of it).
    MCSE: standard deviation of batch means over sqrt(batches) (Flegal & Jones 2010); for independent truths this
    is the binomial error (Morris, White & Crowther 2019).
    """
    named = engine_of(design, engine)
    if named not in ("two_arm", "looks"):
        return operate(truths, design, n=n, seed=seed, engine=engine, advance=advance)
    from gmfmsim.trial.looks.bounds import rates_without_effect  # compiled code: loaded only where it is needed

    n = [int(k) for k in n]
    per_round = truths.attrs["posterior_draws"]
    effect = (truths["effect"].sel(arm=design.active.name) - truths["effect"].sel(arm=design.control.name)).values
    sd = design.children.change_sd(design.month, truths["sd_change"].values)
    batch = truths["batch"].values[:per_round]
    size = np.bincount(batch) * truths.attrs["rounds"]
    starts = np.searchsorted(batch, np.arange(size.size))
    hits = np.zeros((2, effect.shape[0], len(n), size.size))
    advance.expect(truths.attrs["rounds"] * len(n))
    for block in range(truths.attrs["rounds"]):
        rows = slice(block * per_round, (block + 1) * per_round)
        shown = (_in_looks if named == "looks" else _at_the_end)(design, n, effect[:, rows] / sd[rows], seed, block)
        for k, (benefit, harm) in enumerate(shown):
            hits[0, :, k] += _by_batch(benefit, starts)
            hits[1, :, k] += _by_batch(harm, starts)
            advance()
    level = rates_without_effect(design.looks, design.alpha / 2)[0] if design.looks else design.alpha / 2
    limit = (effect > 0) + level * (effect == 0)
    blocks = np.split(limit, truths.attrs["rounds"], axis=1)
    certain = sum(_by_batch(block, starts) for block in blocks)
    (success, harm), (success_mcse, harm_mcse) = _mean_and_mcse(hits, size)
    plateau, plateau_mcse = _mean_and_mcse(certain, size)
    grid = ("scenario", "n", "analysis")
    return xr.Dataset(
        {
            "success": (grid, success[..., None]),
            "success_mcse": (grid, success_mcse[..., None]),
            "harm": (grid, harm[..., None]),
            "harm_mcse": (grid, harm_mcse[..., None]),
            "plateau": ("scenario", plateau),
            "plateau_mcse": ("scenario", plateau_mcse),
        },
        coords={
            "scenario": truths["scenario"].values,
            "n": n,
            "randomised": ("n", [design.total(k) for k in n]),
            "analysis": [design.analyses[0].label],
        },
        attrs={"replicates": int(truths.sizes["draw"]), "alpha_two_sided": design.alpha}
        | {"seed": seed, "engine": named},
    )


def _at_the_end(
    design: Design, n: list[int], in_sds: np.ndarray, seed: int, block: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield benefit and harm (scenario, draw) at each n of trials of one test, with effects in SDs."""
    from gmfmsim.trial.two_arm import significant  # compiled code: loaded only where it is needed

    rng = stream(seed, "trial", block)
    z, u = rng.standard_normal(in_sds.shape[1]), rng.random((3, in_sds.shape[1]))
    yield from (significant(design, children, in_sds, z, u) for children in n)


def _in_looks(
    design: Design, n: list[int], in_sds: np.ndarray, seed: int, block: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield benefit and harm (scenario, draw) at each n of trials with looks, with effects in SDs."""
    from gmfmsim.trial.looks.simulate import HARM, SUCCESS, stopped  # compiled code: loaded only where it is needed

    for children in n:
        _, outcome = stopped(design, children, in_sds, stream(seed, "looks", block))
        yield outcome == SUCCESS, outcome == HARM


def _by_batch(hit: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Count hits (scenario, draw) in each batch of consecutive draws; starts: the first draw of each."""
    return np.add.reduceat(hit, starts, axis=-1, dtype=float)


def _mean_and_mcse(hits: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of hits and its Monte Carlo standard error from counts (..., batch)."""
    return hits.sum(axis=-1) / size.sum(), (hits / size).std(axis=-1, ddof=1) / np.sqrt(size.size)
