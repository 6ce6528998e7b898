"""The exact engine: quadrature over the few non-linear parameters, Gaussian algebra for all else, no sampling error."""

import numpy as np
import xarray as xr

from gmfmsim.compute.algebra import dot
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact.exact_posterior import ExactPosterior
from gmfmsim.model.exact.existence import impropriety
from gmfmsim.model.exact.prepared import Prepared, Refused, prepare
from gmfmsim.model.exact.quadrature import EFFORT, Box, Effort, find_box
from gmfmsim.model.structure import Structure, structure

NEGLIGIBLE = -36.0
"""Log weight, below the largest, under which a component is dropped."""
LIGHT = 0.01
"""With very many components the lightest are dropped, which together hold this share of what the nodes may miss."""
FEW = 5
"""Points for an unknown standard error that are enough to see where the posterior of the others is."""


def refusal(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return why the exact engine cannot fit a model to the contrasts, or None if it can."""
    if spec.heterogeneity == "student_t":
        return "Student-t study effects are not Gaussian given tau: the nuts engine samples them"
    if "dose_error" in spec.terms:
        return f"an error in dose makes {data.sizes['contrast']} doses unknown, too many to integrate: use nuts"
    model = structure(spec, data)
    try:
        prepare(model)
    except Refused as error:
        return str(error)
    return impropriety(model)


def fit_exact(spec: ModelSpec, data: xr.Dataset) -> ExactPosterior:
    """Return the exact posterior of a declared model.

    Raises Refused where the engine cannot do it, ValueError where the model lacks a dose or covariate.
    """
    if reason := refusal(spec, data):
        raise Refused(reason)
    return posterior(structure(spec, data))


def posterior(model: Structure) -> ExactPosterior:
    """Return the exact posterior of a structure. Raises Refused as `prepare`."""
    ready = prepare(model)
    effort = EFFORT[len(ready.names)]
    box, peak = find_box(ready.log_density, ready.axes, effort.points, effort.deep)
    if model.likelihood.uncertain_spread:
        few = ready.with_sizes_at(peak, FEW)
        box = _settled(few, box, effort)[0]
        ready = few.with_sizes_at(peak, effort.sizes)
    box, log_joint, found, density = _settled(ready, box, effort)
    highest = log_joint.max()
    log_joint += box.log_weights[:, None]
    top = log_joint.max()
    least = top + NEGLIGIBLE
    if model.likelihood.uncertain_spread:
        log_total = highest + np.log(dot(np.exp(box.log_weights), density.ravel()))
        least = max(least, log_total + np.log(LIGHT * max(effort.missed, 1e-300) / log_joint.size))
    node, combination = np.nonzero(log_joint > least)
    weight = np.exp(log_joint[node, combination] - top)
    total = weight.sum()
    return ExactPosterior(
        ready,
        box,
        density,
        float(top + np.log(total)),
        weight / total,
        node,
        combination,
        found,
        max(box.missed(density), default=0.0),
        box.open_ends(ready.axes, density),
    )


def _settled(ready: Prepared, box: Box, effort: Effort) -> tuple[Box, np.ndarray, tuple, np.ndarray]:
    """Return the box, wide and fine enough; log p(y, combination, node) there, statistics and density; see Prepared.

    First as wide as it must be, then as narrow as it may be, then as fine as it must be: each once, so that it ends.
    """

    def at(box: Box) -> tuple:
        log_joint, found = ready.log_joint(box.nodes)
        return box, log_joint, found, _summed(log_joint).reshape(box.points)

    steps = (
        lambda box, density: box.widened(ready.axes, density, effort.edge),
        lambda box, density: box.tightened(ready.axes, density, effort.edge),
        lambda box, density: box.finer(density, effort.missed),
    )
    settled = at(box)
    for step in steps:
        while (better := step(settled[0], settled[-1])) is not settled[0] and ready.can_afford(better):
            settled = at(better)
    return settled


def _summed(log_joint: np.ndarray) -> np.ndarray:
    """Return the sum over the combinations, (J,), relative to the largest: a few nodes at a time, to save memory."""
    top = log_joint.max()
    rows = max(1, 1_000_000 // log_joint.shape[1])
    parts = [np.exp(log_joint[i : i + rows] - top).sum(axis=1) for i in range(0, log_joint.shape[0], rows)]
    return np.concatenate(parts)
