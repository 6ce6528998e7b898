"""The required n without random numbers, and success in every scenario over n."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.model.truths import Belief
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.trial.design import Design
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact.success import Assurance
from gmfmsim.trial.size import Curve, RequiredN, Search

MOST = 10_000_000
"""The largest n that is looked at."""


def smallest(exact: Assurance, target: float, most: int = MOST) -> int | None:
    """Return the smallest n up to `most` that the design can have with success >= target; None where there is none.

    It takes success to rise with n, as it does beyond trials so small that false claims matter. The search starts where
    a guess of success has the target.
    """
    if exact.plateau() <= target:
        return None
    step, most = exact.design.step, exact.design.at_most(most)
    guess = Curve(lambda n: (exact.rough(n), 0.0), step=step).crossing(target, most=most) or most
    return Curve(lambda n: (exact.at(n), 0.0), step=step).crossing(target, most=most, start=guess)


def required_n(exact: Assurance, search: Search) -> RequiredN:
    """Return the required n, an exact integer, and the plateau: neither has a Monte Carlo error."""
    target, most, plateau = search.target.value, search.max_n_per_arm, exact.plateau()
    n = smallest(exact, target, most)
    why = "reached" if n is not None else "plateau" if plateau <= target else "limit"
    nearly = smallest(exact, 0.95 * plateau, most) if plateau > 0 else None
    return RequiredN(n, None, why, plateau, None, nearly)


def curves(design: Design, beliefs: Mapping[str, Belief], n: Iterable[int], advance: Steps = UNSEEN) -> xr.Dataset:
    """Return success and harm (scenario, n, analysis) of the primary analysis, and the plateau (scenario).

    beliefs: of the effect, by scenario. harm: significant against treatment, whatever the claim. Every figure has a
    Monte Carlo error `_mcse` where it is simulated; here there is none, NaN. Raises ValueError as `success`.
    """
    n, first = [int(k) for k in n], design.analyses[0]
    against = (Criterion(design.alpha / 2, 0, "below"),)
    succeeding = [Assurance(design, first, b) for b in beliefs.values()]
    harming = [Assurance(design, first, b, against) for b in beliefs.values()]
    each = [*succeeding, *harming]
    advance.expect(len(each))
    rows = []
    for row in in_order(lambda found: [found.at(k) for k in n], each):
        rows.append(row)
        advance()
    values = np.array(rows)
    shape, grid = (len(beliefs), len(n), 1), ("scenario", "n", "analysis")
    figures = dict(zip(("success", "harm"), values.reshape(2, *shape), strict=True))
    variables = {name: (grid, value) for name, value in figures.items()}
    variables |= {f"{name}_mcse": (grid, np.full(shape, math.nan)) for name in figures}
    plateau = [found.plateau() for found in succeeding]
    variables |= {"plateau": ("scenario", plateau), "plateau_mcse": ("scenario", [math.nan] * len(plateau))}
    coords = {
        "scenario": list(beliefs),
        "n": n,
        "analysis": [first.label],
        "randomised": ("n", [design.total(k) for k in n]),
    }
    return xr.Dataset(variables, coords, {"engine": "exact", "alpha_two_sided": design.alpha})
