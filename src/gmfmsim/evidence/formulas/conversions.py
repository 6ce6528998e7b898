"""What a paper prints to what an analysis needs: standard deviations and standard errors.

Every function takes floats or arrays that broadcast. A value that cannot be (not finite, an SD of 0, an interval upside
down) raises ValueError with the argument's name, the value and what is allowed; shapes that do not broadcast, too.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from gmfmsim.compute.arguments import Number, alike, valid

Z975, Z995 = 1.959963984540054, 2.5758293035489004
"""Normal quantiles of two-sided intervals of probability 0.95 and 0.99."""


class MeanSd(NamedTuple):
    """Mean and standard deviation of one group of children, in the units of the scale."""

    mean: Number
    sd: Number


@alike
def sd_from_se(se: Number, n: Number) -> Number:
    """Return the SD behind the standard error of one group's mean: se sqrt(n), n >= 2."""
    return valid("se", se, above=0) * np.sqrt(valid("n", n, least=2))


@alike
def se_from_sd(sd: Number, n: Number) -> Number:
    """Return the standard error of one group's mean: sd / sqrt(n), n >= 2."""
    return valid("sd", sd, above=0) / np.sqrt(valid("n", n, least=2))


@alike
def se_from_ci(low: Number, high: Number, prob: Number = 0.95, df: Number | None = None) -> Number:
    """Return the standard error behind an interval: (high - low) / (2 q), q the two-sided quantile at `prob`.

    q is Student's with `df` degrees of freedom, normal when df is None. The interval must be symmetric on the scale it
    is given on: take logs of a ratio's interval first. prob runs from 0.5 to below 1, so that an error rate of 0.05 in
    its place is refused; df is at least 1.
    """
    low = valid("low", low)
    high = valid("high", high, above=low)
    return (high - low) / (2 * _quantile(1 - valid("prob", prob, least=0.5, below=1), df))


@alike
def sd_from_ci(low: Number, high: Number, n: Number, prob: Number = 0.95) -> Number:
    """Return the SD behind the interval of one group's mean: sqrt(n) (high - low) / (2 t), t with n - 1 df, n >= 2."""
    n = valid("n", n, least=2)
    return sd_from_se(se_from_ci(low, high, prob, n - 1), n)


@alike
def se_from_t(estimate: Number, t: Number) -> Number:
    """Return the standard error behind a t (or z) statistic: |estimate / t|, neither of them 0.

    The sign of t is not used: papers print it as it suits them.
    """
    return np.abs(_not_zero("estimate", estimate) / _not_zero("t", t))


@alike
def se_from_p(estimate: Number, p: Number, df: Number | None = None) -> Number:
    """Return the standard error behind a two-sided p: |estimate| / q(p), normal when df is None.

    estimate 0 and p = 1 say nothing about the error and are refused. A p printed as "< 0.05" is a bound: the result
    is then the largest standard error.
    """
    return np.abs(_not_zero("estimate", estimate)) / _quantile(valid("p", p, least=1e-200, below=1), df)


@alike
def t_test_p(difference: Number, se: Number, df: Number | None = None) -> Number:
    """Return the two-sided p of a difference: 2 F(-|difference| / se), F Student's, normal when df is None."""
    tail = -np.abs(valid("difference", difference) / valid("se", se, above=0))
    return 2 * (ndtr(tail) if df is None else stdtr(valid("df", df, least=1), tail))


@alike
def difference_se_from_sd(sd: Number, n1: Number, n2: Number) -> Number:
    """Return the standard error of the difference of two groups that share an SD: sd sqrt(1/n1 + 1/n2)."""
    return valid("sd", sd, above=0) * np.sqrt(1 / valid("n1", n1, least=2) + 1 / valid("n2", n2, least=2))


@alike
def sd_from_difference_se(se: Number, n1: Number, n2: Number) -> Number:
    """Return the pooled SD behind the standard error of two groups' difference: se / sqrt(1/n1 + 1/n2)."""
    return valid("se", se, above=0) / np.sqrt(1 / valid("n1", n1, least=2) + 1 / valid("n2", n2, least=2))


@alike
def pooled_sd(sd: Number, n: Number) -> Number:
    """Return the SD pooled over groups, the last axis: sqrt(sum (n - 1) sd^2 / sum (n - 1))."""
    sd, n = np.broadcast_arrays(valid("sd", sd, above=0), valid("n", n, least=2))
    return np.sqrt(((n - 1) * sd**2).sum(-1) / (n - 1).sum(-1))


@alike
def mean_sd_from_range(low: Number, median: Number, high: Number, n: Number) -> MeanSd:
    """Return mean and SD from minimum, median and maximum of n >= 2 values of a nearly normal distribution.

    mean = w (low + high)/2 + (1 - w) median, w = 4 / (4 + n^0.75) (Luo et al. 2018);
    sd = (high - low) / (2 z((n - 0.375) / (n + 0.25))), z the normal quantile (Wan et al. 2014).
    """
    low, median, high = _ordered(low=low, median=median, high=high)
    n = valid("n", n, least=2)
    w = 4 / (4 + n**0.75)
    return MeanSd(w * (low + high) / 2 + (1 - w) * median, (high - low) / (2 * _z_extreme(n)))


@alike
def mean_sd_from_quartiles(q1: Number, median: Number, q3: Number, n: Number) -> MeanSd:
    """Return mean and SD from the quartiles of n >= 2 values of a nearly normal distribution.

    mean = w (q1 + q3)/2 + (1 - w) median, w = 0.7 + 0.39/n (Luo et al. 2018);
    sd = (q3 - q1) / (2 z((0.75 n - 0.125) / (n + 0.25))) (Wan et al. 2014).
    """
    q1, median, q3 = _ordered(q1=q1, median=median, q3=q3)
    n = valid("n", n, least=2)
    w = 0.7 + 0.39 / n
    return MeanSd(w * (q1 + q3) / 2 + (1 - w) * median, (q3 - q1) / (2 * _z_quartile(n)))


@alike
def mean_sd_from_five_numbers(low: Number, q1: Number, median: Number, q3: Number, high: Number, n: Number) -> MeanSd:
    """Return mean and SD from minimum, quartiles and maximum of n >= 2 values of a nearly normal distribution.

    mean = w1 (low + high)/2 + w2 (q1 + q3)/2 + (1 - w1 - w2) median, w1 = 2.2 / (2.2 + n^0.75),
    w2 = 0.7 - 0.72 / n^0.55 (Luo et al. 2018); with the normal quantiles z_e and z_q of `mean_sd_from_range` and
    `mean_sd_from_quartiles`, sd = (high - low) / ((2 + 0.14 n^0.6) z_e) + (q3 - q1) / ((2 + 2 / (0.07 n^0.6)) z_q)
    (Shi et al. 2020).
    """
    low, q1, median, q3, high = _ordered(low=low, q1=q1, median=median, q3=q3, high=high)
    n = valid("n", n, least=2)
    w1, w2 = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55
    mean = w1 * (low + high) / 2 + w2 * (q1 + q3) / 2 + (1 - w1 - w2) * median
    outer = (high - low) / ((2 + 0.14 * n**0.6) * _z_extreme(n))
    inner = (q3 - q1) / ((2 + 2 / (0.07 * n**0.6)) * _z_quartile(n))
    return MeanSd(mean, outer + inner)


@alike
def sd_of_change(sd_before: Number, sd_after: Number, r: Number) -> Number:
    """Return the SD of after minus before: sqrt(sb^2 + sa^2 - 2 r sb sa), r their correlation, -1 < r < 1."""
    before, after = valid("sd_before", sd_before, above=0), valid("sd_after", sd_after, above=0)
    # the same sum of squares, written so that rounding cannot make it negative
    return np.sqrt((before - after) ** 2 + 2 * (1 - valid("r", r, above=-1, below=1)) * before * after)


def _not_zero(name: str, value: Number) -> np.ndarray:
    array = valid(name, value)
    if np.any(array == 0):
        raise ValueError(f"{name} = 0: must be a finite number other than 0")
    return array


def _ordered(**values: Number) -> list[np.ndarray]:
    """Return the values, each at least the one before and the last above the first."""
    names, arrays = list(values), [valid(name, value) for name, value in values.items()]
    for name, value, lower in zip(names[1:], arrays[1:], arrays, strict=False):
        valid(name, value, least=lower)
    valid(names[-1], arrays[-1], above=arrays[0])
    return arrays


def _quantile(tail: np.ndarray, df: Number | None) -> Number:
    """Return the quantile that leaves `tail` outside on both sides together."""
    return -ndtri(tail / 2) if df is None else -stdtrit(valid("df", df, least=1), tail / 2)


def _z_extreme(n: np.ndarray) -> Number:
    return ndtri((n - 0.375) / (n + 0.25))


def _z_quartile(n: np.ndarray) -> Number:
    return ndtri((0.75 * n - 0.125) / (n + 0.25))
