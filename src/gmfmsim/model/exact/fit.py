"""The exact engine: quadrature over the few non-linear parameters, Gaussian algebra for all else, no sampling error."""

import numpy as np
import xarray as xr

from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact.exact_posterior import ExactPosterior
from gmfmsim.model.exact.prepared import Refused, prepare
from gmfmsim.model.exact.quadrature import EFFORT, find_box
from gmfmsim.model.structure import Structure, structure

NEGLIGIBLE = -36.0
"""Log weight, below the largest, under which a component is dropped."""


def refusal(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return why the exact engine cannot fit a model to the contrasts, or None if it can."""
    if spec.heterogeneity == "student_t":
        return "Student-t study effects are not Gaussian given tau: the nuts engine samples them"
    if "dose_error" in spec.terms:
        return f"an error in dose makes {data.sizes['contrast']} doses unknown, too many to integrate: use nuts"
    try:
        prepare(structure(spec, data))
    except Refused as error:
        return str(error)
    return None


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
    ready = ready.with_offsets_at(peak)
    while True:
        log_joint, found = ready.log_joint(box.nodes)
        density = np.exp(log_joint - log_joint.max()).sum(axis=1).reshape(box.points)
        better = box.widened(ready.axes, density, effort.edge)
        if better is box:
            better = box.finer(density, effort.missed)
        if better is box or not ready.can_afford(better):
            break
        box = better
    log_p = log_joint + box.log_weights[:, None]
    top = log_p.max()
    node, combination = np.nonzero(log_p > top + NEGLIGIBLE)
    weight = np.exp(log_p[node, combination] - top)
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
    )
