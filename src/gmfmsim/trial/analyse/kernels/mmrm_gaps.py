"""Mixed model for repeated measures with an unstructured covariance, for children who miss visits and come back."""

import numpy as np

from gmfmsim.compute.compiled import compiled

MOST_STEPS, CONVERGED = 2000, 1e-9
STEP_OF_DERIVATIVE = 1e-4
"""Step in a covariance as a share of the SDs: the central difference is then good to about 8 digits."""


def mmrm_any_pattern(
    scores: np.ndarray, columns: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return estimate, standard error, degrees of freedom and whether it could be done, (R,) each, as `mmrm` does.

    scores (V, N, R), NaN where not seen; columns (q, N, R), the arms as 0/1 columns first; weights (A,) of the arms.

    Children that miss the same visits go together. With P_m the inverse of their part of S (0 elsewhere), R_m their
    cross-products of residuals, X_m their columns, C the covariance of the coefficients B given S, and
    T_m[v, w] = tr(C_vw X_m' X_m), the gradient of the restricted likelihood is G / 2,

      G = sum over m of P_m (R_m + T_m) P_m - n_m P_m,    and    S <- S + S G S / (n - q)

    is the EM step whose complete data are the missing scores: every step raises the likelihood and leaves S positive
    definite. It stops when no covariance moves by more than 1e-9 of the SDs. The information of S is the
    difference of G around the maximum. Source: Dempster, Laird & Rubin 1977; Laird & Ware 1982 for the restricted form.

    Columns that others determine are left out; where the contrast needs one of them, or there are no more children than
    columns and visits, or 2000 steps do not suffice, the analysis could not be done and the numbers are NaN.
    """
    return _every_trial(scores, columns, np.asarray(weights, float))


@compiled
def _every_trial(scores, columns, weights):
    visits, _, trials = scores.shape
    q = columns.shape[0]
    out = np.full((3, trials), np.nan)
    ok = np.zeros(trials, np.bool_)
    aim = np.zeros((visits, q))
    aim[visits - 1, : weights.size] = weights
    for r in range(trials):
        y, x = np.ascontiguousarray(scores[:, :, r].T), np.ascontiguousarray(columns[:, :, r].T)
        for i in range(weights.size, q):  # the contrast does not see where a covariate has its origin
            x[:, i] -= x[:, i].mean()
        data = by_pattern(y, x)
        estimate, se, df = fit(data, aim, start(y))
        if se > 0 and df > 0:
            out[0, r], out[1, r], out[2, r], ok[r] = estimate, se, df, True
    return out[0], out[1], out[2], ok


@compiled
def by_pattern(y, x):
    """Return, by pattern of visits seen, children (M,), seen (M, V), X'X (M, q, q), X'Y (M, q, V) and Y'Y (M, V, V)."""
    (children, visits), q = y.shape, x.shape[1]
    place = np.full(2**visits, -1)
    code = np.zeros(children, np.int64)
    found = 0
    for c in range(children):
        for v in range(visits):
            code[c] += (not np.isnan(y[c, v])) << v
        if code[c] > 0 and place[code[c]] < 0:
            place[code[c]] = found
            found += 1
    n, seen = np.zeros(found), np.zeros((found, visits), np.bool_)
    xx, xy, yy = np.zeros((found, q, q)), np.zeros((found, q, visits)), np.zeros((found, visits, visits))
    for c in range(children):
        if code[c] == 0:
            continue
        m = place[code[c]]
        n[m] += 1
        for i in range(q):
            for j in range(q):
                xx[m, i, j] += x[c, i] * x[c, j]
        for v in range(visits):
            if np.isnan(y[c, v]):
                continue
            seen[m, v] = True
            for i in range(q):
                xy[m, i, v] += x[c, i] * y[c, v]
            for w in range(visits):
                if not np.isnan(y[c, w]):
                    yy[m, v, w] += y[c, v] * y[c, w]
    return n, seen, xx, xy, yy


@compiled
def start(y):
    """Return the variances of the scores seen at each visit, as a diagonal covariance."""
    covariance = np.zeros((y.shape[1], y.shape[1]))
    for v in range(y.shape[1]):
        covariance[v, v] = np.nanvar(y[:, v])
    return covariance


@compiled
def inverse(a, keep, out):
    """Fill out with the inverse of the part of a positive definite a that keep marks, 0 elsewhere; unmark what the rest
    determines."""
    size = a.shape[0]
    low = np.zeros((size, size))
    for j in range(size):
        if not keep[j]:
            continue
        pivot = a[j, j]
        for c in range(j):
            pivot -= low[j, c] ** 2
        if pivot <= 1e-11 * a[j, j]:
            keep[j] = False
            continue
        low[j, j] = np.sqrt(pivot)
        for i in range(j + 1, size):
            x = a[i, j]
            for c in range(j):
                x -= low[i, c] * low[j, c]
            low[i, j] = x / low[j, j] if keep[i] else 0.0
    back = np.zeros((size, size))  # inverse of low
    for j in range(size):
        if not keep[j]:
            continue
        back[j, j] = 1 / low[j, j]
        for i in range(j + 1, size):
            if keep[i]:
                x = 0.0
                for c in range(j, i):
                    x -= low[i, c] * back[c, j]
                back[i, j] = x / low[i, i]
    for i in range(size):
        for j in range(i + 1):
            x = 0.0
            for c in range(i, size):
                x += back[c, i] * back[c, j]
            out[i, j] = out[j, i] = x


@compiled
def gradient(data, covariance, pulls, spread, aim, of_variance, of_contrast):
    """Return G (V, V) at a covariance, and the contrast; NaN where the contrast needs what the data do not have.

    pulls (V, q) becomes C aim, spread (Vq, Vq) becomes C, of_variance (V, V) the derivative of the contrast's variance
    given S by S, and of_contrast (V, V) that of the contrast.
    """
    n, seen, xx, xy, yy = data
    groups, q, visits = xy.shape
    p, weight = np.zeros((groups, visits, visits)), np.zeros((visits * q, visits * q))
    right = np.zeros(visits * q)
    for m in range(groups):
        inverse(covariance, seen[m].copy(), p[m])
        for v in range(visits):
            for w in range(visits):
                if p[m, v, w] != 0:
                    for i in range(q):
                        right[v * q + i] += p[m, v, w] * xy[m, i, w]
                        for j in range(q):
                            weight[v * q + i, w * q + j] += p[m, v, w] * xx[m, i, j]
    inverse(weight, np.ones(visits * q, np.bool_), spread)
    b = times(spread, right.reshape(visits * q, 1)).reshape(visits, q)
    needed = times(spread, aim.reshape(visits * q, 1)).reshape(visits, q)
    found, reached = 0.0, times(weight, needed.reshape(visits * q, 1)).reshape(visits, q)
    for v in range(visits):
        for i in range(q):
            pulls[v, i] = needed[v, i]
            found += aim[v, i] * b[v, i]
            if abs(reached[v, i] - aim[v, i]) > 1e-6:  # the contrast needs a column that was left out
                found = np.nan
    g = np.zeros((visits, visits))
    of_variance[:], of_contrast[:] = 0.0, 0.0
    pulled, half = np.zeros((visits, visits)), np.zeros((visits, visits))
    for m in range(groups):
        predicted, drawn = times(b, xx[m]), times(pulls, xx[m])
        s = yy[m].copy()
        for v in range(visits):
            for w in range(visits):
                pulled[v, w] = half[v, w] = 0.0
                for i in range(q):
                    rest = xy[m, i, w] - predicted[w, i]
                    s[v, w] -= b[v, i] * rest + xy[m, i, v] * b[w, i]
                    pulled[v, w] += drawn[v, i] * pulls[w, i]
                    half[v, w] += rest * pulls[v, i]
                    for j in range(q):
                        s[v, w] += spread[v * q + i, w * q + j] * xx[m, i, j]
        g += times(times(p[m], s), p[m]) - n[m] * p[m]
        of_variance += times(times(p[m], pulled), p[m])
        half = times(times(p[m], half), p[m])
        for v in range(visits):
            for w in range(visits):
                of_contrast[v, w] += (half[v, w] + half[w, v]) / 2
    return g, found


@compiled
def times(a, b):
    """Return the product of two matrices; small ones, for which a library call costs more than the sums."""
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


@compiled
def fit(data, aim, covariance):
    """Return estimate, SE and degrees of freedom from data by pattern and a covariance to start from."""
    n, _, xx, _, _ = data
    visits, q = aim.shape
    nothing = np.nan, np.nan, np.nan
    pulls, spread = np.zeros((visits, q)), np.zeros((visits * q, visits * q))
    first, second = np.zeros((visits, visits)), np.zeros((visits, visits))
    freedom, together = 0.0, np.zeros((q, q))
    for m in range(n.size):
        freedom += n[m]
        together += xx[m]
    columns = np.ones(q, np.bool_)
    inverse(together, columns, together.copy())
    for i in range(q):
        freedom -= columns[i]
    for v in range(visits):
        if not covariance[v, v] > 0:
            return nothing
    if freedom < visits:
        return nothing
    steps, moved = 0, 1.0
    while moved > CONVERGED:
        g, estimate = gradient(data, covariance, pulls, spread, aim, first, second)
        change = times(times(covariance, g), covariance)
        moved = 0.0
        for v in range(visits):
            for w in range(visits):
                change[v, w] /= freedom
                moved = max(moved, abs(change[v, w]) / np.sqrt(covariance[v, v] * covariance[w, w]))
        covariance = covariance + change
        steps += 1
        if steps > MOST_STEPS or not np.isfinite(estimate + moved):
            return nothing
    g, estimate = gradient(data, covariance, pulls, spread, aim, first, second)
    given = 0.0
    for v in range(visits):
        for i in range(q):
            given += aim[v, i] * pulls[v, i]
    of_given, more = delta_method(data, aim, covariance, first, second)
    if not (of_given > 0 and more >= -1e-9 * given):
        return nothing
    return estimate, np.sqrt(given + more), 2 * given**2 / of_given


@compiled
def delta_method(data, aim, covariance, first, second):
    """Return the variances that an estimated covariance adds to functions of it with derivatives first, second (V, V).

    The information is the central difference of the gradient; NaN where it is not positive definite.
    """
    visits, q = aim.shape
    pulls, spread = np.zeros((visits, q)), np.zeros((visits * q, visits * q))
    unused, size = np.zeros((visits, visits)), visits * (visits + 1) // 2
    sides, information = np.zeros((size, 2)), np.zeros((size, size))
    k = 0
    for v in range(visits):
        for w in range(v + 1):
            twice = 1.0 if v == w else 2.0
            sides[k, 0], sides[k, 1] = twice * first[v, w], twice * second[v, w]
            step = STEP_OF_DERIVATIVE * np.sqrt(covariance[v, v] * covariance[w, w])
            for end in (1.0, -1.0):
                moved = covariance.copy()
                moved[v, w] += end * step
                moved[w, v] = moved[v, w]
                g, _ = gradient(data, moved, pulls, spread, aim, unused, unused)
                row = 0
                for i in range(visits):
                    for j in range(i + 1):
                        information[row, k] -= end * g[i, j] * (0.5 if i == j else 1.0) / (2 * step)
                        row += 1
            k += 1
    keep, inverted = np.ones(size, np.bool_), np.zeros((size, size))
    inverse(information, keep, inverted)
    of_first, of_second = 0.0, 0.0
    for i in range(size):
        if not keep[i]:
            return np.nan, np.nan
        for j in range(size):
            of_first += sides[i, 0] * inverted[i, j] * sides[j, 0]
            of_second += sides[i, 1] * inverted[i, j] * sides[j, 1]
    return of_first, of_second
