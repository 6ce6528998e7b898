"""How many trials a second are analysed with the evidence, and how long a surface of what trials are worth takes."""

from itertools import product

import numpy as np

from gmfmsim.evidence.contrasts import select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.after import Joint, after_many, joint, merged, mixed_joint
from gmfmsim.model.average import Member, refitted
from gmfmsim.model.declare import ModelChoice, read_models
from gmfmsim.model.effect import Condition
from gmfmsim.proof.calibration import CORD_BLOOD
from gmfmsim.proof.fits import shortest
from gmfmsim.streams import stream
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.value import Value
from gmfmsim.trial.worth import Worth

SEED = 1
TRIALS = 1_000_000
CHILDREN_PER_ARM = 100
CURVES = ("random_effects", "linear", "loglinear", "emax")
"""The models that are averaged."""
DOSES, SIZES = np.geomspace(1.4e7, 1e8, 5).tolist(), np.unique(np.geomspace(5, 2000, 40).astype(int)).tolist()
"""Doses and children an arm of the surface, 5 x 40."""
VALUE = Value(benefit=15_000, reach=1_000, treatment_cost=30_000)


def worth() -> dict[str, float]:
    """Measure on the cord blood contrasts of the package, each after one call to warm up, best of three.

    hierarchical_refits_per_s: trials of two arms of 100, each with its own estimate and standard error, followed to
    mean and SD of the mean of studies and of their scatter, to P(mean > 0) and to P(the trial's own effect > 0), by
    `after_many` under the random-effects model; averaged_refits_per_s: the same under four curves averaged.
    evsi_surface_s: the expected value of sample information of 40 n at 5 doses under an Emax curve, with the law of the
    SD of change, from a posterior that is fitted.
    """
    one, several = (_models(names) for names in (("random_effects",), CURVES))
    emax = [m for m in several if m.name == "emax"]
    return {
        "hierarchical_refits_per_s": _refits(_joint(one, 1e8)),
        "averaged_refits_per_s": _refits(_joint(several, 1e8)),
        "evsi_surface_s": shortest(lambda: _surface(emax), 3),
    }


def _models(names: tuple[str, ...]) -> list[Member]:
    """Return models fitted to the cord blood contrasts as tabled, with their shares."""
    tables = read_tables()
    data = read_contrasts(select_contrasts(tables, CORD_BLOOD), tables, "as_tabled")
    choice = ModelChoice(name=names[0]) if len(names) == 1 else ModelChoice(average=list(names))
    return refitted(read_models(choice), data, choice)


def _joint(members: list[Member], dose: float) -> Joint:
    parts = [joint(m.mixture, m.curve, Condition(dose)) for m in members]
    return merged(mixed_joint(parts, [m.share / sum(m.share for m in members) for m in members]))


def _refits(of: Joint) -> float:
    """Return how many trials a second are followed, estimates drawn from what is believed."""
    rng, df = stream(SEED, "refits"), 2 * CHILDREN_PER_ARM - 2
    se = 5.5 * np.sqrt(2 / CHILDREN_PER_ARM * rng.chisquare(df, TRIALS) / df)
    which = rng.choice(of.weight.size, TRIALS, p=of.weight)
    spread = np.sqrt(of.sd_of_mean[which] ** 2 + of.sd_between[which] ** 2 + se**2)
    estimate = of.mean[which] + spread * rng.standard_normal(TRIALS)
    return TRIALS / shortest(lambda: after_many(of, estimate, se), 3)


def _surface(emax: list[Member]) -> float:
    trial = read_design("parallel")
    worths = [Worth(trial, _joint(emax, dose), VALUE.of(None)) for dose in DOSES]
    return sum(one.sample(n) for one, n in product(worths, SIZES))
