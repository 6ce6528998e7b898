"""How often designs claim a gain, whatever volunteers gain beyond the growth curves."""

from collections.abc import Iterable

import numpy as np

from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import Effort, fixed_truths
from gmfmsim.trial.nuisance import with_gain
from gmfmsim.trial.operate import operate, primary_only
from gmfmsim.trial.optimise import largest_n


def claims_by_gain(
    design: Design, gains: Iterable[float], effects: Iterable[float], children: int, effort: Effort
) -> list[dict]:
    """Return how often each analysis claims a gain at each gain of volunteers and effect: rows with value and mcse.

    With as many children as the design can have of `children` in all. Of a design with a control group the primary
    analysis alone. gains: points in 12 months beyond the curves; effects: points. All on the same noise.
    """
    if design.control is not None:
        design = primary_only(design)[0]
    n, rows, effects = largest_n(design, children), [], list(effects)
    for gain in gains:
        for effect in effects:
            truths = fixed_truths(design, effect, effort.replicates, effort.seed)
            found = operate(truths, with_gain(design, gain), n=[n], seed=effort.seed).isel(scenario=0, n=0)
            effort.advance()
            for label in found["analysis"].values.tolist():
                at = found.sel(analysis=label)
                figures = {"value": at["success"].item(), "mcse": at["success_mcse"].item()}
                rows.append({"analysis": label, "gain": float(np.round(gain, 6)), "effect": effect} | figures)
    return rows
