"""Simulate trials of a design at given truths and say what they show: all analyses on the same children."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import tee
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.streams import stream
from gmfmsim.trial.decide import Verdicts, claim
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments
from gmfmsim.trial.tally import Tally

SCORES_IN_BLOCK = 400_000
"""Scores of children that a block of trials may hold, so that it fits the cache."""

USUAL_CHILDREN = 200
"""Children of a trial for which a block is that size."""

FEWEST_IN_BLOCK, MOST_IN_BLOCK = 64, 2048
"""Trials in a block that is simulated child by child."""

WITHOUT_CHILDREN = 8192
"""Trials in a block whose children are not kept."""


ENGINES = ("looks", "two_arm", "sufficient", "children")
"""How trials of a design are computed, the fastest first.

two_arm: standardised difference and pooled variance of two arms, for one t or z test of normal changes; looks: those of
each stage of a design with looks, which has no other; sufficient:
group means and cross-products drawn as such, where that is exact and every analysis takes no more; children: every
child drawn.
"""


def engine_of(design: Design, engine: str = "auto") -> str:
    """Return the fastest engine that is right for a design: any by "auto", else `engine` and those after it.

    Raises ValueError for another `engine`.
    """
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"engine is {engine!r}; allowed: auto, {', '.join(ENGINES)}")
    if design.looks:
        return "looks"
    if engine in ("auto", "two_arm") and design.two_arms_one_test:
        return "two_arm"
    from gmfmsim.trial.generate.bartlett import qualifies  # compiled code: loaded only where it is needed

    linear = all(a.linear for a in design.analyses)
    return "sufficient" if engine != "children" and linear and qualifies(design) is None else "children"


def primary_only(design: Design) -> tuple[Design, str]:
    """Return the design with its primary analysis alone, and the engine of the whole, which meets it with the same
    trials."""
    return design.model_copy(update={"analyses": design.analyses[:1]}), engine_of(design)


def operate(
    truths: xr.Dataset, design: Design, *, n: Iterable[int], seed: int, engine: str = "auto", advance: Steps = UNSEEN
) -> xr.Dataset:
    """Simulate one trial a truth at each n and return the operating characteristics of every analysis.

    truths: effect (scenario, draw, arm), sd_change (draw), batch (draw); see model.truths. Every scenario and n
    meets the same noise (common random numbers), and all analyses the same children, so that differences are paired.

    Returns the figures of `Tally.characteristics` with dims (scenario, n, analysis) and, for difference, versus, for
    selected, arm; completers (scenario, n), mean children observed at the endpoint; plateau and plateau_mcse
    (scenario), the limit of success of the primary analysis; randomised and enrolled as coordinates of n.
    """
    n = [int(k) for k in n]
    scenarios = truths["scenario"].values.tolist()
    labels = [a.label for a in design.analyses]
    fixed = {s: _one_truth(truths["effect"].sel(scenario=s).values) for s in scenarios}
    batches = int(truths["batch"].max()) + 1
    tallies = {(s, k): Tally(labels, batches, len(design.arms), independent=fixed[s]) for s in scenarios for k in n}
    engine = engine_of(design, "children" if engine == "children" else "sufficient")
    groups = _drawn_together(design, n, engine)
    work, beside = tee(_blocks(truths, design, groups, seed, engine))
    advance.expect(sum(_blocks_of(truths, design, sizes, engine) for sizes in groups))
    for block, trials in zip(beside, map(iter, in_order(_trials, work)), strict=True):
        for scenario, effect in zip(scenarios, block.effects, strict=True):
            theta = design.estimand(effect)
            truth = {a.label: theta if a.scale == "points" else np.full(theta.shape, np.nan) for a in design.analyses}
            for k in block.sizes:
                found, completers = next(trials)
                tallies[scenario, k].add(found, truth, block.batch, completers)
        advance()
    attrs = {"replicates": int(truths.sizes["draw"]), "alpha_two_sided": design.alpha, "seed": seed, "engine": engine}
    return _dataset(truths, design, tallies, n, attrs)


def every(truths: xr.Dataset, trials: int) -> slice:
    """Return which draws of the truths are about so many, evenly over all of them."""
    return slice(None, None, max(1, truths.sizes["draw"] // trials))


def fewer(truths: xr.Dataset, trials: int) -> xr.Dataset:
    """Return about so many of the truths, evenly."""
    few = truths.isel(draw=every(truths, trials))
    return few.assign_attrs(rounds=1, posterior_draws=few.sizes["draw"])


def limit(design: Design, effect: np.ndarray, seed: int) -> np.ndarray:
    """Return the probability (R,) that the primary analysis succeeds as n grows without bound, for effects (A, R).

    1 where the limit of the estimate lies inside the claim, 0 outside, on its border the level of the criterion there,
    of several the least. The estimate tends to the estimand, or to what its analysis says. The error of historical
    children stays. Losses that depend on the scores, and for shares of responders responses that vary, may move the
    limit further; that is not counted.
    """
    theta, kept = centre(design, effect, seed)
    criteria = claim(design)
    apart = [theta - c.threshold if c.direction == "above" else c.threshold - theta for c in criteria]
    # rounded, since a gain and the allowance for it cancel, whatever the last digit of their sums
    inside = np.round(np.array(apart) - kept, 9)
    level = np.array([c.level for c in criteria])[:, None]
    return np.min(np.where(inside > 0, 1.0, np.where(inside == 0, level, 0.0)), axis=0)


def centre(design: Design, effect: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """Return what the estimate of the primary analysis tends to (R,) for effects (A, R), and half the width that its
    interval keeps."""
    untreated = partial(_change_without_cells, design, seed)
    return design.analyses[0].limit(design.estimand(effect), effect, design, untreated)


def _change_without_cells(design: Design, seed: int) -> float:
    """Return the mean change to the endpoint of children without an effect."""
    from gmfmsim.trial.generate.children import draw_trials  # compiled code: loaded only where it is needed

    children = design.children
    if children.kind == "normal":
        return children.growth.value * design.month / 12
    trials, children_each = 64, 2000
    zero = np.zeros((len(design.arms), trials))
    sd = np.full(trials, float(design.sd_change.ppf(np.array(0.5))))
    drawn = draw_trials(design, children_each, zero, sd, stream(seed, "gain without treatment"))
    return float(np.nanmean(drawn.change[design.endpoint]))


def _one_truth(effect: np.ndarray) -> bool:
    """Whether all draws (draw, arm) of a scenario have the same effects."""
    return bool((effect == effect[:1]).all())


class Block(NamedTuple):
    """A block of trials at several n and scenarios: all that their figures depend on, whoever simulates them.

    sizes: n that rise, of which trials at the last begin with the children of the others where these are drawn.
    effects (S, A, R) by scenario, sd (R,), batch (R,) of the truths; at: where in the seed's stream of children it
    stands.
    """

    design: Design
    sizes: tuple[int, ...]
    effects: np.ndarray
    sd: np.ndarray
    batch: np.ndarray
    seed: int
    at: int
    engine: str


def _blocks_of(truths: xr.Dataset, design: Design, sizes: tuple[int, ...], engine: str) -> int:
    """Return how many blocks of trials there are at n that are drawn together."""
    per_round = truths.attrs["posterior_draws"]
    return truths.attrs["rounds"] * -(-per_round // block_size(design, sizes[-1], engine))


def _blocks(
    truths: xr.Dataset, design: Design, groups: list[tuple[int, ...]], seed: int, engine: str
) -> Iterator[Block]:
    """Yield the blocks of trials; their rows never cross a round, so that more rounds change none."""
    effects = truths["effect"].transpose("scenario", "arm", "draw").values
    sd, batch = truths["sd_change"].values, truths["batch"].values
    per_round = truths.attrs["posterior_draws"]
    for sizes in groups:
        size = block_size(design, sizes[-1], engine)
        per_block = -(-per_round // size)
        for at in range(_blocks_of(truths, design, sizes, engine)):
            i, j = divmod(at, per_block)
            rows = slice(i * per_round + j * size, min(i * per_round + (j + 1) * size, (i + 1) * per_round))
            yield Block(design, sizes, effects[:, :, rows], sd[rows], batch[rows], seed, at, engine)


def _drawn_together(design: Design, n: list[int], engine: str) -> list[tuple[int, ...]]:
    """Return the n in groups, rising in each: blocks of one size, and children drawn once for the largest."""
    from gmfmsim.trial.generate.arms import begins_with

    if engine != "children":
        return [(k,) for k in dict.fromkeys(n)]
    groups: dict[tuple[int, int], list[int]] = {}
    for k in sorted(set(n), reverse=True):
        size = block_size(design, k, engine)
        largest = next((n for of, n in groups if of == size and begins_with(design, n, k)), k)
        groups.setdefault((size, largest), []).append(k)
    return [tuple(reversed(of)) for of in groups.values()]


def block_size(design: Design, n: int, engine: str) -> int:
    """Return how many trials a block holds: the same for n of one order, so that they meet the same noise.

    Where children are kept, trials of 2000 children and more come in blocks of an eighth, those of 16,000 and more of a
    64th, so that memory does not grow with n.
    """
    if engine != "children":
        return WITHOUT_CHILDREN
    usual = np.clip(SCORES_IN_BLOCK // (USUAL_CHILDREN * (1 + len(design.visits))), FEWEST_IN_BLOCK, MOST_IN_BLOCK)
    orders = max(0, math.floor(math.log(design.total(n) / (10 * USUAL_CHILDREN), 8)) + 1)
    return max(1, int(usual) // 8**orders)


def _trials(block: Block) -> list[tuple[dict[str, Verdicts], np.ndarray]]:
    """Return, by scenario and n, the verdicts of every analysis, and the children observed at the endpoint (R,)."""
    from gmfmsim.trial.analyse.together import analyse, analyse_moments

    design, found = block.design, []
    for trials in _drawn(block):
        if isinstance(trials, Moments):
            found.append((analyse_moments(trials, design), trials.n[:, -1].sum(axis=0)))
        else:
            found.append((analyse(trials, design), np.isfinite(trials.score[1 + design.endpoint]).sum(axis=0)))
    return found


def _drawn(block: Block) -> Iterator[Moments | Trials]:
    """Yield the trials of a block by scenario and n, as moments where no analysis asks for more."""
    from gmfmsim.trial.generate.bartlett import draw_moments
    from gmfmsim.trial.generate.children import draw_alike
    from gmfmsim.trial.generate.ends import moments_at_ends, suffice

    design, sizes = block.design, block.sizes
    if block.engine != "children":
        for effect in block.effects:
            rng = stream(block.seed, "children", block.at)
            yield draw_moments(design, sizes[0], effect, block.sd, rng)
        return
    children = [design.total(k) for k in sizes]
    rng = stream(block.seed, "children", block.at)
    for trials in draw_alike(design, sizes[-1], block.effects, block.sd, rng):
        if suffice(design):
            yield from moments_at_ends(trials, design, children)
        else:
            yield from (trials.first(k) for k in children)


def _dataset(truths: xr.Dataset, design: Design, tallies: dict, n: list[int], attrs: dict) -> xr.Dataset:
    """Gather tallies by (scenario, n) into one labelled dataset."""
    scenarios = truths["scenario"].values.tolist()
    labels = [a.label for a in design.analyses]
    extra = {"difference": ("versus",), "difference_mcse": ("versus",), "selected": ("arm",), "selected_mcse": ("arm",)}
    found = {key: tally.characteristics() for key, tally in tallies.items()}
    variables = {}
    for name in next(iter(found.values())) if found else ():
        values = np.array([[found[s, k][name] for k in n] for s in scenarios])
        variables[name] = (("scenario", "n", "analysis", *extra.get(name, ())), values)
    if found:
        seen = np.array([[tallies[s, k].seen_at_endpoint() for k in n] for s in scenarios])
        variables |= {
            "completers": (("scenario", "n"), seen[..., 0]),
            "completers_mcse": (("scenario", "n"), seen[..., 1]),
        }
    plateau = [_plateau(truths.sel(scenario=s), design, attrs["seed"]) for s in scenarios]
    variables["plateau"] = ("scenario", [p for p, _ in plateau])
    variables["plateau_mcse"] = ("scenario", [e for _, e in plateau])
    randomised = np.array([design.total(k) for k in n])
    kept = 1 - design.run_in.loss.value if design.run_in else 1
    coords = {
        "scenario": scenarios,
        "n": n,
        "analysis": labels,
        "versus": labels,
        "arm": [arm.name for arm in design.arms],
        "randomised": ("n", randomised),
        "enrolled": ("n", np.ceil(np.round(randomised / kept, 9)).astype(int)),
    }
    return xr.Dataset(variables, coords, attrs)


def _plateau(truths: xr.Dataset, design: Design, seed: int) -> tuple[float, float]:
    """Return the limit of success at one scenario and its Monte Carlo error."""
    effect, batch = truths["effect"].transpose("arm", "draw").values, truths["batch"].values
    chance = limit(design, effect, seed)
    size = np.bincount(batch)
    means = np.bincount(batch, chance) / size
    mcse = float(means.std(ddof=1) / math.sqrt(size.size)) if size.size > 1 else math.nan
    return float(chance.mean()), mcse
