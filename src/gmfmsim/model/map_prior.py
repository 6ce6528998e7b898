"""The meta-analytic-predictive prior of a mean in a new trial, from the means that other trials print."""

import numpy as np
from numpy.typing import ArrayLike

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.arguments import vector
from gmfmsim.dist.mixture import NormalMixture

NODES, FARTHEST = 160, 5.0
"""Nodes of tau, and how far a half-normal prior is followed, in its scale: 6e-7 lies beyond."""


def map_prior(mean: ArrayLike, se: ArrayLike, *, tau_scale: float) -> NormalMixture:
    """Return the predictive distribution of the mean of a new trial: one normal for each node of tau.

    mean_i ~ Normal(mu + u_i, se_i^2), u_i ~ Normal(0, tau^2), mu flat, tau ~ HalfNormal(tau_scale). Given tau, mu is
    normal with precision sum_i 1 / (se_i^2 + tau^2), and the new trial's mean has tau^2 more variance; tau counts with
    its prior times the likelihood that is left when mu is integrated. mean, se (S,).

    Raises ValueError for no trial, an se that is not above 0 or a tau_scale that is not.
    Source: Spiegelhalter, Abrams & Myles 2004; Schmidli et al. 2014.
    """
    mean, se = vector("mean", np.asarray(mean, float)), vector("se", np.asarray(se, float), above=0)
    if not mean.size or mean.shape != se.shape or not tau_scale > 0:
        raise ValueError(f"{mean.size} means, {se.size} standard errors, tau_scale {tau_scale}: must be some, as many")
    x, weight = gauss_legendre(NODES)
    tau = FARTHEST * tau_scale * ((x + 1) / 2) ** 2
    precision = 1 / (se**2 + tau[:, None] ** 2)
    total = precision.sum(axis=1)
    centre = (precision * mean).sum(axis=1) / total
    log = (np.log(precision).sum(axis=1) - np.log(total) - (precision * (mean - centre[:, None]) ** 2).sum(axis=1)) / 2
    log -= (tau / tau_scale) ** 2 / 2
    share = weight * (x + 1) * np.exp(log - log.max())
    return NormalMixture(share / share.sum(), centre, np.sqrt(1 / total + tau**2))
