"""What happens to the children of a block: change, excess over it, effect of treatment, and the score as measured."""

import math
from collections.abc import Mapping

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design, Treatment
from gmfmsim.trial.generate.arms import Allocation
from gmfmsim.trial.generate.growth import as_shown
from gmfmsim.trial.generate.people import People


def observed_scores(
    design: Design,
    people: People,
    allocation: Allocation,
    given: Treatment,
    excess_sd: np.ndarray,
    noise: Mapping[str, np.random.Generator],
) -> np.ndarray:
    """Return the observed scores (1 + V, N, R) of children who miss nothing, for excess_sd (R,) at 12 months.

    The model of `Children`: baseline + expected change + volunteer gain + excess + centre + treatment + error, cut to
    [floor, ceiling]. The excess, and its part shared by a pair or cluster, is an Ornstein-Uhlenbeck process in log
    time: x(t) = rho x(s) + sqrt(1 - rho^2) z, rho = (s / t)^q, whence its correlation (s / t)^q.
    """
    children, months = design.children, np.array(design.visits)
    population = children.kind == "population"
    centres = children.centres
    centre = np.zeros((1, excess_sd.size))
    if centres is not None:
        icc = 0.0 if centres.law is None else centres.law.ppf(noise["centre icc"].random(excess_sd.size))
        sd = centres.between(excess_sd, icc)
        centre = sd * noise["centre"].standard_normal((centres.number, excess_sd.size))
    return _scores(
        people.baseline,
        as_shown(children, people.expected, months, excess_sd) if population else people.expected,
        volunteer_gain(design)[1:],
        people.level if population else np.zeros((0, 0), np.int8),
        children.multiples if population else np.ones(1),
        allocation.group,
        given,
        design.excess_parts(excess_sd, people.correlation),
        design.unit,
        np.concatenate([[0.0], (months[:-1] / months[1:]) ** children.decay]),
        centre,
        np.zeros(len(people.baseline), np.int64) if allocation.centre is None else allocation.centre,
        np.broadcast_to(children.error_sd(excess_sd), excess_sd.shape).astype(float),
        children.response_sd.value * children.relative_spread(excess_sd),
        (children.floor.value, children.ceiling.value) if population else (-np.inf, np.inf),
        tuple(noise[kind] for kind in ("excess", "shared excess", "error", "response")),
    )


def volunteer_gain(design: Design) -> np.ndarray:
    """Return the gain of any volunteer over its curve at baseline and each visit (1 + V,), in points."""
    months = np.concatenate([[0.0], design.visits])
    gain = 0.0 if design.children.kind == "normal" else design.children.volunteer_gain.value
    return gain * np.minimum(months / 12, 1)


@compiled
def _scores(
    baseline,
    expected,
    gain,
    level,
    multiple,
    group,
    given,
    parts,
    together,
    rho,
    centre,
    at,
    error,
    response_sd,
    scale,
    noise,
):
    """Draw child by child, all trials of one before the next; every kind of noise has a generator of its own."""
    visits, children, trials = expected.shape
    floor, ceiling = scale
    response, times, other, treated = given
    own, shared = parts
    rng, rng_shared, rng_error, rng_response = noise
    score = np.empty((1 + visits, children, trials))
    x, own_response = np.empty(trials), np.empty(trials)
    common = np.zeros((visits, trials))
    for i in range(children):
        if shared.size > 0 and i % together == 0:
            x[:] = 0.0
            for v in range(visits):
                new = math.sqrt(1.0 - rho[v] ** 2)
                for r in range(trials):
                    x[r] = rho[v] * x[r] + new * rng_shared.standard_normal()
                    common[v, r] = shared[v, r] * x[r]
        for r in range(trials):
            a = group[i, r]
            own_response[r] = response[a, r]
            if level.size > 0:
                own_response[r] *= multiple[level[i, r]]
        if response_sd.max() > 0.0:
            for r in range(trials):
                deviation = response_sd[r] * rng_response.standard_normal()
                if treated[group[i, r]]:
                    own_response[r] += deviation
        for r in range(trials):
            y = baseline[i, r] + error[r] * rng_error.standard_normal()
            score[0, i, r] = min(max(y, floor), ceiling)
        x[:] = 0.0
        for v in range(visits):
            new = math.sqrt(1.0 - rho[v] ** 2)
            for r in range(trials):
                a = group[i, r]
                x[r] = rho[v] * x[r] + new * rng.standard_normal()
                y = baseline[i, r] + expected[v, i, r] + gain[v] + own[v, r] * x[r] + common[v, r] + centre[at[i], r]
                y += times[a, v] * own_response[r] + other[a, v] + error[r] * rng_error.standard_normal()
                score[1 + v, i, r] = min(max(y, floor), ceiling)
    return score
