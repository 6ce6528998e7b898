"""Who goes to which arm, and which centre, pair or cluster a child belongs to."""

from typing import NamedTuple

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design


class Allocation(NamedTuple):
    """Arm of each child (N, R), its pair or cluster (N,) or None, and its centre (N,) or None."""

    group: np.ndarray
    unit: np.ndarray | None
    centre: np.ndarray | None


def allocate(
    design: Design, n: int, trials: int, level: np.ndarray | None, age: np.ndarray | None, rng: np.random.Generator
) -> Allocation:
    """Return the arms of the children of R trials in order of enrolment, as design.randomisation says.

    block, and none, where children alternate: sizes exactly design.sizes(n), in an order in which the next child always
    goes to the arm that is furthest behind its ratio, so that a larger trial begins with the children of a smaller one;
    simple: each child by itself with probability in proportion to the ratio; stratified: permuted blocks within level,
    age below or from the median, or both, whose contents follow the same order, so that a block splits as evenly as it
    can. Pairs have one child in each arm; clusters go to arms whole.

    Centres take children in turn; with blocks, those of each arm in turn, so that every centre has its share of each
    arm. Pairs and clusters stay in one centre.
    """
    ratio = np.array([arm.ratio for arm in design.arms], float)
    sizes = np.array(list(design.sizes(n).values()))
    method, children = design.randomisation.method, int(sizes.sum())
    together = design.unit
    units = children // together
    turn = np.arange(units)
    if together > design.step:  # a unit has a child in each arm
        group = _same_in_all(np.arange(children) % 2, trials)
    elif method == "simple":
        bounds = np.cumsum(ratio / ratio.sum())[:-1]
        group = np.searchsorted(bounds, rng.random((units, trials)), side="right").astype(np.int8)
        group = np.repeat(group, together, axis=0)
    elif method == "stratified":
        stratum = np.zeros((children, trials), np.int8)
        if "level" in design.randomisation.strata:
            stratum += level
        if "age" in design.randomisation.strata:
            stratum += np.where(age < design.children.age.median, 0, 5).astype(np.int8)
        block = design.randomisation.block
        blocks = enrolment_order(ratio, np.full(ratio.size, children + block))[: -(-children // block) * block]
        contents = (blocks.reshape(-1, block, 1) == np.arange(ratio.size)).sum(axis=1)
        group = _permuted(rng.random((children, trials)), stratum, contents, block)
    else:
        order = enrolment_order(ratio, sizes // together)
        turn = _turn_within_arm(order)
        group = _same_in_all(np.repeat(order, together), trials)
    unit = np.repeat(np.arange(units), together) if design.UNIT else None
    centres = design.children.centres
    return Allocation(group, unit, None if centres is None else np.repeat(turn % centres.number, together))


def begins_with(design: Design, n: int, fewer: int) -> bool:
    """Return whether trials at n begin with the children of those at fewer, arm by arm.

    They do but where arms are of planned sizes and a ratio is rounded.
    """
    if design.unit > design.step or design.randomisation.method in ("simple", "stratified"):
        return True
    ratio = np.array([arm.ratio for arm in design.arms], float)
    small, large = (enrolment_order(ratio, np.array([*design.sizes(k).values()]) // design.unit) for k in (fewer, n))
    return np.array_equal(large[: small.size], small)


@compiled
def enrolment_order(ratio, sizes):
    """Return arms (sum of sizes,) in order: next is the arm, of those not full, furthest behind its ratio."""
    share = ratio / ratio.sum()
    count = np.zeros(ratio.size, np.int64)
    order = np.empty(sizes.sum(), np.int64)
    for i in range(order.size):
        chosen, behind = -1, -np.inf
        for a in range(ratio.size):
            deficit = (i + 1) * share[a] - count[a]
            if count[a] < sizes[a] and deficit > behind + 1e-9:  # ties go to the first arm, whatever the last bit
                chosen, behind = a, deficit
        order[i] = chosen
        count[chosen] += 1
    return order


def _turn_within_arm(order: np.ndarray) -> np.ndarray:
    """Return the turn of each unit (U,) among those of its arm; arms start one after the other."""
    turn = np.empty(order.size, np.int64)
    for arm in np.unique(order):
        here = order == arm
        turn[here] = arm + np.arange(here.sum())
    return turn


def _same_in_all(order: np.ndarray, trials: int) -> np.ndarray:
    """Return arms (N, R), the same order (N,) in every trial."""
    return np.ascontiguousarray(np.broadcast_to(order.astype(np.int8)[:, None], (order.size, trials)))


@compiled
def _permuted(u, stratum, contents, block):
    """Return arms (N, R) drawn without replacement from the blocks of each stratum, one uniform of u (N, R) a child.

    stratum (N, R) 0 to 9; contents (B, A): children of each arm in the first, second, ... block of a stratum.
    """
    children, trials = u.shape
    arms = contents.shape[1]
    group = np.empty((children, trials), np.int8)
    come = np.zeros((10, trials), np.int64)
    left = np.zeros((10, arms, trials), np.int64)
    for i in range(children):
        for r in range(trials):
            s = stratum[i, r]
            at = come[s, r] % block
            if at == 0:
                left[s, :, r] = contents[come[s, r] // block]
            x = u[i, r] * (block - at)
            a = 0
            while x >= left[s, a, r]:
                x -= left[s, a, r]
                a += 1
            group[i, r] = a
            left[s, a, r] -= 1
            come[s, r] += 1
    return group
