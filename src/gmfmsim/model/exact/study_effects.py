"""The amplitude in every study, from the exact posterior."""

import numpy as np

from gmfmsim.compute.algebra import cholesky, inverse, product, solve_lower, solve_upper, transposed
from gmfmsim.model.exact.exact_posterior import ExactPosterior
from gmfmsim.model.exact.mixture import NormalMixture


def study_effects(exact: ExactPosterior) -> list[NormalMixture]:
    """Return the amplitude in every study, that of the first study first.

    Given node, state and coefficients beta, the amplitude of a study is beta_0 + sd z with z the deviation of its
    unit, g its loads and W the covariance of the errors and deviations of its block:
    z | y ~ Normal(g' W^-1 (y - X beta), 1 - g' W^-1 g). beta is normal in turn, so that all is one normal.

    Raises ValueError if the model has no level of studies.
    """
    model, ready = exact.prepared.structure, exact.prepared
    names = [level.name for level in model.levels]
    if "study" not in names:
        raise ValueError(f"levels are {names}: study effects need a level of studies")
    number, nodes = names.index("study"), exact.box.nodes.shape[0]
    units, phi = model.levels[number].units, ready.phi(exact.box.nodes)
    sd = np.broadcast_to(model.levels[number].sd(phi), (nodes, 1))
    columns, loads = ready.design(phi, nodes)
    like, start = model.likelihood, ready.states.start
    state = np.unravel_index(exact.combination, np.diff(start))  # within its block
    out = {}
    for block, size in enumerate(like.inside.sum(axis=1)):
        rows, own = like.index[block, :size], slice(start[block], start[block + 1])
        gains = [(level, loads[:, level, rows] * mask[block, :size]) for level, mask in model.slots]
        whiten = ready.states.whiten[own, :size, :size]
        within = inverse(product(transposed(whiten), whiten))
        whole = within + sum(g[:, None, :, None] * g[:, None, None, :] for _, g in gains)
        root = cholesky(whole)
        row = exact.node * whole.shape[1] + state[block]
        for (level, g), (_, mask) in zip(gains, model.slots, strict=True):
            if level != number or not mask[block].any():
                continue
            q = solve_upper(transposed(root), solve_lower(root, g[:, None, :, None]))[..., 0]
            loading = -sd[:, :, None] * np.einsum("jpk,jsk->jsp", columns[:, :, rows], q)
            loading[..., 0] += 1.0
            fixed = sd * np.einsum("jsk,sk->js", q, ready.states.effect[own, :size])
            left = sd**2 * (1 - np.einsum("jsk,jk->js", q, g))
            unit = units[rows[mask[block, :size]][0]]
            out[unit] = exact.standardised(loading.reshape(-1, loading.shape[2]), row, fixed.ravel(), left.ravel())
    return [out[unit] for unit in sorted(out)]
