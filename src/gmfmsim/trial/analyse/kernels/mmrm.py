"""Mixed model for repeated measures with an unstructured covariance, for children lost and not seen again."""

from collections.abc import Sequence

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.analyse.kernels.mmrm_gaps import mmrm_any_pattern
from gmfmsim.trial.analyse.kernels.moments import covariate_columns
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments


def mmrm(moments: Moments, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return estimate, standard error, degrees of freedom and whether it could be done, (R,) each.

    Model: y_k = x' B_k + e_k at visit k = 1 to V, x the arms, covariates and baseline (q columns), each with a
    coefficient of its own at every visit; Cov(e) = S, unstructured; REML. The estimate is the contrast `weights` (A,)
    of the arms at the last visit.

    The patterns are monotone, so the restricted likelihood factorises: with y_k = x' G_k + y_<k' f_k + error of
    variance w_k, the map from (B, S) to (G, f, w) is one to one and shifts B_k by f_k times the earlier B, with
    determinant 1, so that integrating over B is integrating over G:

      L = product over k of |X_k' X_k|^(-1/2) w_k^(-(n_k - q)/2) exp(-RSS_k(f_k) / (2 w_k)),

    X_k the columns of the n_k children seen at visit k. Its maximum is least squares of every visit on x and the
    earlier visits, with w_k = RSS_k / (n_k - q). With a the last row of the inverse of I - f:

      contrast_k = contrast of G_k + f_k' contrast_<k,
      SE^2 = sum of a_k^2 w_k g_k' (Z_k' Z_k)^-1 g_k,   Z_k = [X_k, Y_<k],  g_k = (weights, 0, contrast_<k).

    That is the observed information of means and covariances together, which holds where losses depend on observed
    scores (Kenward & Molenberghs 1998). The expected information of the means alone has (X_k, weights) for (Z_k, g_k);
    it is V of Satterthwaite's df = 2 V^2 / Var(V), the variance by the observed information of (f, w). Complete data
    give the ANCOVA of the last visit, exactly t with n - q degrees of freedom. False claims at alpha 5 %, four visits,
    30 % lost, 2 million trials (MCSE 0.02 %): 5.04 % of trials with 100 children an arm, 5.07 % with 50, 5.11 % with
    25, 5.20 % with 15.

    A covariate that is constant within every arm is left out; where it tells arms apart, or a visit has no child of an
    arm or no degree of freedom, the analysis could not be done and the numbers are NaN.
    """
    arms = np.asarray(weights, float)
    return _mmrm(moments.n, moments.mean, moments.cross, arms)


def mmrm_with_gaps(
    trials: Trials, design, covariates: Sequence[str] = ("baseline",)
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what `mmrm` does, (R,) each, for children who may miss visits and come back; visits up to the endpoint.

    Covariates as in `moments_of`. A model is fitted to every trial by itself; see mmrm_gaps.mmrm_any_pattern.
    """
    arms = [trials.group == arm for arm in range(len(design.arms))]
    others = [column for column, _ in covariate_columns(trials, design, covariates)]
    columns = np.array([*arms, *others, trials.score[0]], float)
    return mmrm_any_pattern(trials.score[1 : 2 + design.endpoint], columns, design.weights)


@compiled
def _mmrm(n, mean, cross, weights):
    """Loop over trials: pool patterns, regress each visit on the earlier ones, follow the contrast to the last."""
    patterns, d, trials = mean.shape[1:]
    visits = patterns - 1
    out = np.full((3, trials), np.nan)
    ok = np.zeros(trials, np.bool_)
    within, delta = np.zeros((visits, d, d)), np.zeros((visits, d))
    spread, df = np.zeros(visits), np.zeros(visits)
    factor, slope = np.zeros((visits, d, d)), np.zeros((visits, d))
    for r in range(trials):
        if pool(n, mean, cross, weights, r, within, delta, spread, df):
            estimate, se, freedom = follow(within, delta, spread, df, factor, slope)
            if se > 0:
                out[0, r], out[1, r], out[2, r], ok[r] = estimate, se, freedom, True
    return out[0], out[1], out[2], ok


@compiled
def pool(n, mean, cross, weights, r, within, delta, spread, df):
    """Fill, for the children seen at each visit, what a regression on arms takes; False where an arm has none.

    within (V, D, D): cross-products within arms; delta (V, D): contrast of the arm means; spread (V,): sum of
    weight^2 / n; df (V,): children less arms.
    """
    arms, patterns, d = mean.shape[:3]
    within[:], delta[:], spread[:], df[:] = 0.0, 0.0, 0.0, 0.0
    total, centre = np.zeros((d, d)), np.zeros(d)
    for arm in range(arms):
        total[:], centre[:], held = 0.0, 0.0, 0
        for p in range(patterns - 1, 0, -1):
            more, k = n[arm, p, r], p - 1
            m = d - (patterns - 1 - p)
            if more > 0:
                share = held * more / (held + more)
                for i in range(m):
                    for j in range(i + 1):
                        apart = (mean[arm, p, i, r] - centre[i]) * (mean[arm, p, j, r] - centre[j])
                        total[i, j] += cross[arm, p, i, j, r] + share * apart
                for i in range(m):
                    centre[i] += (mean[arm, p, i, r] - centre[i]) * more / (held + more)
                held += more
            if held == 0:
                return False
            spread[k] += weights[arm] ** 2 / held
            df[k] += held - 1
            for i in range(m):
                delta[k, i] += weights[arm] * centre[i]
                for j in range(i + 1):
                    within[k, i, j] += total[i, j]
    return True


@compiled
def follow(within, delta, spread, df, factor, slope):
    """Return estimate, SE and degrees of freedom at the last visit; NaN where they cannot be had.

    factor (V, D, D) and slope (V, D) are room to work in: the Cholesky factor and the coefficients of each regression.
    """
    visits, d = delta.shape
    fixed = d - visits
    contrast, reach, load = np.zeros(d), np.zeros(visits), np.zeros(visits)
    variance, lean, extra = np.zeros(visits), np.zeros(visits), np.zeros(visits)
    step = np.zeros(d)
    for k in range(visits):
        m = fixed + k
        freedom = df[k] - fixed
        low = factor[k]
        for j in range(m + 1):
            pivot = within[k, j, j]
            for i in range(j):
                pivot -= low[j, i] ** 2
            left_out = pivot <= 1e-11 * within[k, j, j]
            low[j, j] = np.inf if left_out else np.sqrt(pivot)
            if left_out and j >= fixed:
                return np.nan, np.nan, np.nan
            for i in range(j + 1, m + 1):
                x = within[k, i, j]
                for c in range(j):
                    x -= low[i, c] * low[j, c]
                low[i, j] = x / low[j, j]
            if j < m:
                x = contrast[j] - delta[k, j]
                for c in range(j):
                    x -= low[j, c] * step[c]
                if left_out:
                    freedom += 1
                    if abs(x) > 1e-9:
                        return np.nan, np.nan, np.nan
                step[j] = x / low[j, j]
                if j < fixed:
                    lean[k] += step[j] ** 2
                else:
                    extra[k] += step[j] ** 2
        if freedom - k < 1:
            return np.nan, np.nan, np.nan
        df[k], lean[k], variance[k] = freedom, lean[k] + spread[k], low[m, m] ** 2 / freedom
        contrast[m] = delta[k, m]
        for j in range(m - 1, -1, -1):
            x = low[m, j]
            for i in range(j + 1, m):
                x -= low[i, j] * slope[k, i]
            slope[k, j] = x / low[j, j]
            contrast[m] += slope[k, j] * (contrast[j] - delta[k, j])
    reach[visits - 1] = 1.0
    for k in range(visits - 2, -1, -1):
        reach[k] = 0.0
        for j in range(k + 1, visits):
            reach[k] += reach[j] * slope[j, fixed + k]
    given, more, of_given = 0.0, 0.0, 0.0
    for k in range(visits):
        part = reach[k] ** 2 * variance[k]
        given += part * lean[k]
        more += part * extra[k]
        of_given += 2 * (part * lean[k]) ** 2 / df[k]
        load[k] = reach[k] * variance[k] * lean[k]
        for j in range(k):
            x = load[j]
            for i in range(j):
                x -= factor[k, fixed + j, fixed + i] * step[i]
            step[j] = x / factor[k, fixed + j, fixed + j]
            of_given += 4 * part * step[j] ** 2
            load[k] += slope[k, fixed + j] * load[j]
    return contrast[d - 1], np.sqrt(given + more), 2 * given**2 / of_given
