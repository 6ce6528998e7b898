"""Mixed model for repeated measures with an unstructured covariance, for children who miss visits and come back."""

import numpy as np

from gmfmsim.compute.compiled import compiled

TILE = 64
"""Trials whose children are added up together: what is read of one child lies together in memory."""

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
    """Loop over trials, TILE at a time: what lies beside each other in memory is added up together."""
    visits, _, trials = scores.shape
    q = columns.shape[0]
    out = np.full((3, trials), np.nan)
    ok = np.zeros(trials, np.bool_)
    aim = np.zeros(visits * q)
    aim[(visits - 1) * q : (visits - 1) * q + weights.size] = weights
    for first in range(0, trials, TILE):
        last = min(first + TILE, trials)
        found, data, spread = by_pattern(scores, columns, first, last, weights.size)
        n, seen, xx, xy, yy = data
        room = _room(n.shape[1], visits, q)
        for t in range(last - first):
            m = found[t]
            estimate, se, df = fit((n[t, :m], seen[t, :m], xx[t, :m], xy[t, :m], yy[t, :m]), aim, spread[t], room)
            if se > 0 and df > 0:
                r = first + t
                out[0, r], out[1, r], out[2, r], ok[r] = estimate, se, df, True
    return out[0], out[1], out[2], ok


@compiled
def by_pattern(scores, columns, first, last, arms):
    """Return what trials from `first` to before `last`, T of them, come to by pattern of visits seen.

    Patterns of each trial found (T,); children (T, M), seen (T, M, V), X'X (T, M, q, q), X'Y (T, M, q, V) and Y'Y
    (T, M, V, V) by pattern, in the order in which children come; variances of the scores of each visit (T, V).
    Columns after those of the arms are taken from their mean: the contrast does not see where a covariate has its
    origin.
    """
    (visits, children, _), q, trials = scores.shape, columns.shape[0], last - first
    place, code = np.full((2**visits, trials), -1), np.zeros((children, trials), np.int64)
    found, middle = np.zeros(trials, np.int64), np.zeros((q, trials))
    number, mean, variance = np.zeros((visits, trials)), np.zeros((visits, trials)), np.zeros((trials, visits))
    for c in range(children):
        for t in range(trials):
            for v in range(visits):
                if not np.isnan(scores[v, c, first + t]):
                    code[c, t] += 1 << v
                    number[v, t] += 1
                    mean[v, t] += scores[v, c, first + t]
            if code[c, t] > 0 and place[code[c, t], t] < 0:
                place[code[c, t], t] = found[t]
                found[t] += 1
            for i in range(arms, q):
                middle[i, t] += columns[i, c, first + t]
    mean /= number
    middle /= children
    most = found.max()
    n, seen = np.zeros((trials, most)), np.zeros((trials, most, visits), np.bool_)
    xx, xy = np.zeros((trials, most, q, q)), np.zeros((trials, most, q, visits))
    yy, z = np.zeros((trials, most, visits, visits)), np.empty(q)
    for c in range(children):
        for t in range(trials):
            if code[c, t] == 0:
                continue
            m = place[code[c, t], t]
            n[t, m] += 1
            for i in range(q):
                z[i] = columns[i, c, first + t] - middle[i, t]
            for i in range(q):
                if z[i] != 0:  # a child is in one arm
                    for j in range(i + 1):
                        if z[j] != 0:
                            xx[t, m, i, j] += z[i] * z[j]
            for v in range(visits):
                if code[c, t] >> v & 1:
                    score = scores[v, c, first + t]
                    seen[t, m, v] = True
                    variance[t, v] += (score - mean[v, t]) ** 2
                    for i in range(q):
                        xy[t, m, i, v] += z[i] * score
                    for w in range(v + 1):
                        if code[c, t] >> w & 1:
                            yy[t, m, v, w] += score * scores[w, c, first + t]
    for i in range(q):
        for j in range(i):
            xx[:, :, j, i] = xx[:, :, i, j]
    for v in range(visits):
        for w in range(v):
            yy[:, :, w, v] = yy[:, :, v, w]
    return found, (n, seen, xx, xy, yy), variance / number.T


@compiled
def _room(groups, visits, q):
    """Return what `gradient` works in, so that small matrices are not allocated anew for every step of every trial: by
    pattern; three matrices, three lines and marks of all coefficients; six matrices of all visits."""
    size = visits * q
    square = (np.empty((size, size)), np.empty((size, size)), np.empty((size, size)))
    lines = (np.empty(size), np.empty(size), np.empty(size), np.empty(size))
    marks = np.ones(size, np.bool_), np.ones(visits, np.bool_)
    small = np.empty((3, visits, visits)), np.empty((visits, visits)), np.empty((visits, visits))
    return np.empty((groups, visits, visits)), square, lines, marks, small, np.empty((visits, visits))


@compiled
def inverse(a, keep, out):
    """Fill out with the inverse of the part of a positive definite a that keep marks, 0 elsewhere; unmark what the rest
    determines."""
    size = a.shape[0]
    _inverse(a, keep, np.empty((size, size)), np.empty((size, size)), out)


@compiled
def _inverse(a, keep, low, back, out):
    """Do what `inverse` does; low and back, at least as large as a, are room to work in."""
    size = a.shape[0]
    for i in range(size):
        for j in range(size):
            low[i, j] = back[i, j] = 0.0
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
    # back: the inverse of low
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
def gradient(data, covariance, pulls, spread, aim, g, derivatives, room):
    """Fill g (V, V) with G at a covariance, and return the contrast; NaN where it needs what the data do not have.

    aim (Vq,): the contrast; pulls (Vq,) becomes C aim, spread (Vq, Vq) becomes C, and derivatives (2, V, V), unless it
    is empty, those by S of the contrast's variance given S, and of the contrast. room: of `_room`.
    """
    n, seen, _, xy, _ = data
    groups, q, visits = xy.shape
    p, (weight, low, back), (right, b, _, _), (keep, _), (of_visits, _, _), _ = room
    precisions(seen, covariance, room)
    weigh(data, room)
    for k in range(visits * q):
        keep[k] = True
    _inverse(weight, keep, low, back, spread)
    found, size = 0.0, visits * q
    for k in range(size):
        b[k] = pulls[k] = 0.0
        for c in range(size):
            b[k] += spread[k, c] * right[c]
            pulls[k] += spread[k, c] * aim[c]
    for k in range(size):
        reached = 0.0
        for c in range(size):
            reached += weight[k, c] * pulls[c]
        found += aim[k] * b[k]
        if abs(reached - aim[k]) > 1e-6:  # the contrast needs a column that was left out
            found = np.nan
    g[:], derivatives[:] = 0.0, 0.0
    for m in range(groups):
        residuals(data, m, spread, room)
        sandwich(m, 0, room)
        for v in range(visits):
            for w in range(visits):
                g[v, w] += of_visits[0, v, w] - n[m] * p[m, v, w]
        if derivatives.size > 0:
            pulled(data, m, pulls, room)
            sandwich(m, 1, room)
            sandwich(m, 2, room)
            for v in range(visits):
                for w in range(visits):
                    derivatives[0, v, w] += of_visits[1, v, w]
                    derivatives[1, v, w] += (of_visits[2, v, w] + of_visits[2, w, v]) / 2
    return found


@compiled
def precisions(seen, covariance, room):
    """Fill p (M, V, V) of the room with the inverse of the part of a covariance that each pattern sees."""
    p, _, _, (_, keep), (_, low, back), out = room
    groups, visits = seen.shape
    for m in range(groups):
        for v in range(visits):
            keep[v] = seen[m, v]
        _inverse(covariance, keep, low, back, out)
        for v in range(visits):
            for w in range(visits):
                p[m, v, w] = out[v, w]


@compiled
def weigh(data, room):
    """Fill weight (Vq, Vq) and right (Vq,) of the room with the normal equations of the coefficients."""
    _, _, xx, xy, _ = data
    groups, q, visits = xy.shape
    p, (weight, _, _), (right, _, _, _), _, _, _ = room
    weight[:], right[:] = 0.0, 0.0
    for m in range(groups):
        for v in range(visits):
            for w in range(visits):
                share = p[m, v, w]
                if share != 0:
                    for i in range(q):
                        right[v * q + i] += share * xy[m, i, w]
                        for j in range(q):
                            weight[v * q + i, w * q + j] += share * xx[m, i, j]


@compiled
def by_visit(b, xx, m, out):
    """Fill out (visits x q) with b_v' xx_m, v a visit."""
    q = xx.shape[1]
    for v in range(out.size // q):
        for j in range(q):
            total = 0.0
            for i in range(q):
                total += b[v * q + i] * xx[m, i, j]
            out[v * q + j] = total


@compiled
def residuals(data, m, spread, room):
    """Fill the first matrix of visits of the room with R_m + T_m."""
    _, _, xx, xy, yy = data
    _, q, visits = xy.shape
    _, _, (_, b, predicted, _), _, (of_visits, _, _), _ = room
    by_visit(b, xx, m, predicted)
    for v in range(visits):
        for w in range(visits):
            total = yy[m, v, w]
            for i in range(q):
                rest = xy[m, i, w] - predicted[w * q + i]
                total -= b[v * q + i] * rest + xy[m, i, v] * b[w * q + i]
                for j in range(q):
                    total += spread[v * q + i, w * q + j] * xx[m, i, j]
            of_visits[0, v, w] = total


@compiled
def pulled(data, m, pulls, room):
    """Fill the other two with what the derivatives of the variance and of the contrast take, after `residuals`."""
    _, _, xx, xy, _ = data
    _, q, visits = xy.shape
    _, _, (_, _, predicted, drawn), _, (of_visits, _, _), _ = room
    by_visit(pulls, xx, m, drawn)
    for v in range(visits):
        for w in range(visits):
            along, across = 0.0, 0.0
            for i in range(q):
                along += drawn[v * q + i] * pulls[w * q + i]
                across += (xy[m, i, w] - predicted[w * q + i]) * pulls[v * q + i]
            of_visits[1, v, w], of_visits[2, v, w] = along, across


@compiled
def sandwich(m, k, room):
    """Replace the matrix A of visits with number k by P_m A P_m."""
    p, _, _, _, (of_visits, _, _), half = room
    visits = half.shape[0]
    for v in range(visits):
        for w in range(visits):
            total = 0.0
            for c in range(visits):
                total += p[m, v, c] * of_visits[k, c, w]
            half[v, w] = total
    for v in range(visits):
        for w in range(visits):
            total = 0.0
            for c in range(visits):
                total += half[v, c] * p[m, c, w]
            of_visits[k, v, w] = total


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
def fit(data, aim, variances, room):
    """Return estimate, SE and degrees of freedom from data by pattern and the variances (V,) of scores, uncorrelated,
    to start from."""
    n, _, xx, xy, _ = data
    _, q, visits = xy.shape
    nothing = np.nan, np.nan, np.nan
    pulls, spread = np.zeros(visits * q), np.zeros((visits * q, visits * q))
    g, derivatives, none = np.zeros((visits, visits)), np.zeros((2, visits, visits)), np.zeros((0, visits, visits))
    covariance, freedom, together = np.diag(variances), 0.0, np.zeros((q, q))
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
        estimate = gradient(data, covariance, pulls, spread, aim, g, none, room)
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
    estimate = gradient(data, covariance, pulls, spread, aim, g, derivatives, room)
    given = 0.0
    for k in range(aim.size):
        given += aim[k] * pulls[k]
    of_given, more = delta_method(data, aim, covariance, derivatives, room)
    if not (of_given > 0 and more >= -1e-9 * given):
        return nothing
    return estimate, np.sqrt(given + more), 2 * given**2 / of_given


@compiled
def delta_method(data, aim, covariance, derivatives, room):
    """Return the variances that an estimated covariance adds to functions of it with derivatives (2, V, V).

    The information is the central difference of the gradient; NaN where it is not positive definite.
    """
    visits = covariance.shape[0]
    pulls, spread = np.zeros(aim.size), np.zeros((aim.size, aim.size))
    none, g, size = np.zeros((0, visits, visits)), np.zeros((visits, visits)), visits * (visits + 1) // 2
    sides, information = np.zeros((size, 2)), np.zeros((size, size))
    k = 0
    for v in range(visits):
        for w in range(v + 1):
            twice = 1.0 if v == w else 2.0
            sides[k, 0], sides[k, 1] = twice * derivatives[0, v, w], twice * derivatives[1, v, w]
            step = STEP_OF_DERIVATIVE * np.sqrt(covariance[v, v] * covariance[w, w])
            for end in (1.0, -1.0):
                moved = covariance.copy()
                moved[v, w] += end * step
                moved[w, v] = moved[v, w]
                gradient(data, moved, pulls, spread, aim, g, none, room)
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
