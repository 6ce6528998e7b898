"""Verdicts of the two-arm trial on its sufficient statistics, many trials at once."""

from functools import lru_cache

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design

CELLS, GUIDE = 64, 1024
"""Parts of (0, 1) at whose ends the quantile is known beforehand: of the pooled variance, and of the completers."""


def significant(
    design: Design, n: int, effect: np.ndarray, z: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which trials show benefit and which harm, (scenario, draw) each; effect in SDs, noise z, u (3, draw).

    |delta + Z| must exceed z(1 - alpha/2), or t(1 - alpha/2, df) sqrt(W / df) with W = chi2 at tail u[2]. That quantile
    is the dear step. It falls with u, so its values at both ends of a cell of u decide most trials; it is taken only
    for those between.
    """
    least, largest = u.min(axis=1), u.max(axis=1)
    sizes = design.sizes(n)
    arms = (sizes[design.active.name], least[0], largest[0]), (sizes[design.control.name], least[1], largest[1])
    (*active, fewest1, most1), (*control, fewest0, most0) = (_completers(*arm, design.dropout) for arm in arms)
    if design.analyses[0].method == "z":
        critical = np.full((1, CELLS + 1), special.ndtri(1 - design.alpha / 2))
        return _decide(effect, z, u, *active, *control, 0, critical)[:2]
    fewest, most = max(fewest1 + fewest0, 4), max(most1 + most0, 4)
    df = np.arange(fewest, most + 1) - 2
    quantile = special.stdtrit(df, 1 - design.alpha / 2)
    high, low = (np.sqrt(special.chdtri(df, edge) / df)[:, None] for edge in (least[2], largest[2]))
    inner = np.array([_spread(k) for k in df.tolist()])
    critical = quantile[:, None] * np.hstack([high, inner, low])
    benefit, harm, between, n1, n0 = _decide(effect, z, u, *active, *control, fewest, critical)
    if between.size:
        df = n1 + n0 - 2
        exact = quantile[df + 2 - fewest] * np.sqrt(special.chdtri(df, u[2, between]) / df)
        statistic = effect[:, between] / np.sqrt(1 / n1 + 1 / n0) + z[between]
        benefit[:, between], harm[:, between] = statistic > exact, statistic < -exact
    return benefit, harm


@lru_cache(maxsize=8192)
def _spread(df: int) -> np.ndarray:
    """Return sqrt(chi2 / df) (CELLS - 1,) at the tails between the cells."""
    return np.sqrt(special.chdtri(df, np.arange(1, CELLS) / CELLS) / df)


def _completers(
    randomised: int, least: float, largest: float, dropout: float
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return the distribution function of the children who finish, where a search in it for u from k / GUIDE starts,
    and the quantiles at the least and the largest u."""
    cdf = special.bdtr(np.arange(randomised + 1), randomised, 1 - dropout)
    guide = np.searchsorted(cdf, np.maximum(np.arange(GUIDE) / GUIDE, least))
    return cdf, guide, int(guide[0]), int(np.searchsorted(cdf, largest))


@compiled
def _decide(effect, z, u, cdf1, guide1, cdf0, guide0, fewest, critical):
    """Return benefit and harm (scenario, draw) as the ends of the cells decide; of the draws that they do not decide,
    position and completers n1, n0.

    critical (children in all, from `fewest`; CELLS + 1): the critical value at the ends of the cells of u[2]. An arm
    with fewer than two children shows nothing.
    """
    scenarios, draws = effect.shape
    benefit, harm = np.zeros((scenarios, draws), np.bool_), np.zeros((scenarios, draws), np.bool_)
    between = np.empty((3, draws), np.int64)
    found = 0
    for d in range(draws):
        n1, n0 = guide1[int(u[0, d] * GUIDE)], guide0[int(u[1, d] * GUIDE)]
        while cdf1[n1] < u[0, d]:
            n1 += 1
        while cdf0[n0] < u[1, d]:
            n0 += 1
        if n1 < 2 or n0 < 2:
            continue
        row, cell = min(n1 + n0 - fewest, critical.shape[0] - 1), int(u[2, d] * CELLS)
        high, low = critical[row, cell], critical[row, cell + 1]
        scale = np.sqrt(1 / n1 + 1 / n0)
        undecided = False
        for s in range(scenarios):
            x = effect[s, d] / scale + z[d]
            benefit[s, d], harm[s, d] = x > high, x < -high
            undecided |= low < abs(x) <= high
        if undecided:
            between[0, found], between[1, found], between[2, found] = d, n1, n0
            found += 1
    return benefit, harm, between[0, :found], between[1, :found], between[2, :found]
