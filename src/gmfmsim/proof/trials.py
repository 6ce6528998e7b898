"""How many trials a second one core simulates, through the functions that users call."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np

from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.truths import known
from gmfmsim.progress import Silent
from gmfmsim.proof.fits import shortest
from gmfmsim.proof.worth import worth
from gmfmsim.streams import stream
from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact import Assurance
from gmfmsim.trial.exact.tails import Truth
from gmfmsim.trial.exact.under_prior import chances_under
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.simulate import simulate

SEED = 1
REPLICATES = 1_000_000
CHILDREN_PER_ARM = 100
SD = 5.5


def trials(*, progress: Silent | None = None) -> dict[str, float]:
    """Measure simulated trials a second on one core, each after one call to warm up, best of three.

    two_arm_per_s: t test of two arms of 100, drop-out 8 %, from sufficient statistics; ancova_200_per_s: ANCOVA on
    baseline of 200 normal children, from mean vectors and cross-products; ancova_200_children_per_s: the same, every
    child drawn; mmrm_4_per_s: MMRM, 4 visits, 30 % drop-out, 200 children, from mean vectors and cross-products by
    drop-out pattern; scipy_ttest_per_s: scipy.stats.ttest_ind on whole arrays of 2 x 100 children that are already
    drawn.
    """
    progress = progress or Silent()
    normal = read_design("normal")
    once = {"visits": [12.0], "onset": None}
    cases = {
        "two_arm_per_s": (read_design("parallel"), 4_000_000, "auto"),
        "ancova_200_per_s": (_only(normal, "ancova", **once), 400_000, "auto"),
        "ancova_200_children_per_s": (_only(normal, "ancova", **once), 20_000, "children"),
        "mmrm_4_per_s": (_only(_losing(normal, 0.3), "mmrm", visits=[3.0, 6.0, 9.0, 12.0]), 100_000, "auto"),
    }
    found = {}
    with _one_core():
        for name, (trial, replicates, engine) in cases.items():
            progress.stage(name.removesuffix("_per_s"))
            truths = fixed_truths(trial, 1.42, replicates, SEED)
            seconds = shortest(lambda: simulate(truths, trial, n=[CHILDREN_PER_ARM], seed=SEED, engine=engine), 3)  # noqa: B023
            found[name] = replicates / seconds
        progress.stage("scipy")
        found["scipy_ttest_per_s"] = _scipy()
    return found


def sequential(*, progress: Silent | None = None) -> dict[str, float]:
    """Measure trials with looks on one core, after one call to warm up, best of three.

    three_look_t_per_s: simulated t tests of two arms of 100 at two looks and the end, nobody lost; three_look_exact_ms:
    success at a number that was not asked before, over one known effect, with the law of the SD of change;
    mixture_grid_ms: success under a mixture that was no prior before, at 30 numbers and 6 effects, the SD known. And
    what `proof.worth.worth` measures: re-analyses with the evidence, and what trials are worth.
    """
    progress = progress or Silent()
    trial = _losing(read_design("next_three_looks"), 0.0)
    with _one_core():
        progress.stage("three looks")
        truths = fixed_truths(trial, 1.42, REPLICATES, SEED)
        per_s = REPLICATES / shortest(lambda: simulate(truths, trial, n=[CHILDREN_PER_ARM], seed=SEED), 3)
        whole, sizes = Assurance(trial, trial.analyses[0], known(1.42)), count(CHILDREN_PER_ARM)
        seconds = shortest(lambda: whole.at(next(sizes)), 3)
        progress.stage("mixture prior")
        moved = count()
        grid = shortest(lambda: _mixture_grid(0.001 * next(moved)), 3)
        progress.stage("re-analyses with the evidence, worth of trials")
        found = {"three_look_t_per_s": per_s, "three_look_exact_ms": 1000 * seconds, "mixture_grid_ms": 1000 * grid}
        return found | worth()


def _mixture_grid(moved: float) -> np.ndarray:
    """Return success (n, effect) of two arms under a prior of three normals, the first of which is moved: another one
    each time, of which nothing is remembered."""
    prior = NormalMixture(np.array([0.5, 0.3, 0.2]), np.array([2.2 + moved, 2.4, 0.0]), np.array([1.2, 2.5, 8.0]))
    se = SD * np.sqrt(2 / np.arange(20, 320, 10))
    truth = Truth(np.array([0, 1, 1.42, 2, 3, 4]), np.zeros(6))
    return chances_under(truth, Criterion(0.025, 0, "above"), se, math.inf, False, prior)


def _only(design: Design, method: str, **changes) -> Design:
    analyses = [a for a in read_design("next_parallel").analyses if a.label == method]
    return design.model_copy(update={"analyses": analyses, "onset": None} | changes)


def _losing(design: Design, share: float) -> Design:
    dropout = design.children.dropout.model_copy(update={"value": share, "low": None, "high": None})
    return design.model_copy(update={"children": design.children.model_copy(update={"dropout": dropout})})


def _scipy(replicates: int = 20_000) -> float:
    from scipy import stats

    active, control = stream(SEED, "scipy").standard_normal((2, replicates, CHILDREN_PER_ARM))
    return replicates / shortest(lambda: stats.ttest_ind(active, control, axis=1), 3)


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this process to one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
