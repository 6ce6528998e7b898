"""The SD of children in a further trial: the posterior against dense quadrature, its limits, the shipped evidence."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import optimize, special, stats

from gmfmsim.dist.positive import LogNormal, LogStudentT
from gmfmsim.evidence.children_sd import BETWEEN, ENDS, PRIORS, PrintedSd, children_sd, fitted, printed_sds
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.trial.presets import read_design

AT = np.array(ENDS)


def printed(trial: str, sd: float, df: float, *, month: float = 12, gmfm66: bool = True) -> PrintedSd:
    return PrintedSd(trial, f"{sd:g} at {month:g}", trial, month, gmfm66, sd, df)


FIVE = (
    printed("A", 6.8, 31),
    printed("A", 5.6, 30),
    printed("B", 2.5, 14, month=6),
    printed("C", 14.9, 8, gmfm66=False),
    printed("C", 5.1, 9, month=1, gmfm66=False),
    printed("D", 12.2, 35),
    printed("E", 3.7, 3, month=6, gmfm66=False),
)


def density_of_variances(sds: list[PrintedSd], level: np.ndarray) -> np.ndarray:
    """The chi-square density of the sample variances of a trial, each at its log SD level (..., J)."""
    parts = []
    for j, one in enumerate(sds):
        factor = one.df / np.exp(2 * level[..., j])
        parts.append(stats.chi2.logpdf(one.sd**2 * factor, one.df) + np.log(factor))
    return np.exp(sum(parts))


def dense_quantiles(sds, targets: list[tuple[float, bool]], b: np.ndarray) -> list[np.ndarray]:
    """Quantiles of a further trial on plain grids of m, b, k and omega, u summed out trial by trial.

    Midpoints of omega, of which the density is even; m is on every third point of m + u.
    """
    m, k = np.linspace(0.1, 3.6, 22), np.linspace(-0.2, 1.8, 14)
    omega, step = (np.arange(33) + 0.5) * 0.08, (m[1] - m[0]) / 3
    u = np.arange(-60, 61) * step
    level, kernel = np.arange(m.size * 3 + u.size) * step + m[0] + u[0], stats.norm.pdf(u, 0, omega[:, None])
    total = sum(
        prior.logpdf(grid).reshape(np.where(np.arange(4) == axis, -1, 1))
        for axis, (grid, prior) in enumerate(zip((m, b, k, omega), (*PRIORS, BETWEEN), strict=True))
    )
    for name in {one.trial for one in sds}:
        own = [one for one in sds if one.trial == name]
        month, other = (np.array(v, float) for v in zip(*((o.month, not o.gmfm66) for o in own), strict=True))
        at = level[:, None, None, None] + b[:, None, None] * np.log(month / 12) + k[:, None] * other
        rows = 3 * np.arange(m.size)[:, None] + np.arange(u.size)
        density = density_of_variances(own, at)[rows]
        total = total + np.log(np.einsum("mubk,wu->mbkw", density, kernel, optimize=True) + 1e-300)
    weight = np.exp(total - total.max())
    weight /= weight.sum()

    def below(x: float, target: tuple[float, bool]) -> float:
        month, gmfm66 = target
        centre = m[:, None, None] + b[:, None] * math.log(month / 12) + k * (not gmfm66)
        return float((weight * special.ndtr((x - centre[..., None]) / omega)).sum())

    solved = ([optimize.brentq(lambda x, p=p, t=t: below(x, t) - p, -8, 12, xtol=1e-6) for p in ENDS] for t in targets)
    return [np.exp(logs) for logs in solved]


@pytest.mark.parametrize(
    ("sds", "b"), [(FIVE, np.linspace(-0.6, 1.6, 16)), (printed_sds(shipped_tables()), np.linspace(0, 0.9, 14))]
)
def test_reference_dense_quadrature(sds, b):
    """A quadrature that shares nothing with the program but the priors, of made-up trials and of the shipped ones."""
    targets = [(12, True), (6, False)]
    for (month, gmfm66), expected in zip(targets, dense_quantiles(sds, targets, b), strict=True):
        found = fitted(sds).further_trial(month, gmfm66=gmfm66).ppf(AT)
        np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_known_predictive_of_one_arm_without_sampling_error():
    """One arm of a million children says m + u: given omega all is normal, and omega is one integral."""
    level, omega = math.log(9), (np.arange(4000) + 0.5) * 1e-3
    total = 1 + omega**2
    weight = BETWEEN.logpdf(omega) + stats.norm.logpdf(level, math.log(6), np.sqrt(total))
    weight = np.exp(weight) / np.exp(weight).sum()
    mean = math.log(6) + (level - math.log(6)) / total
    variance = omega**2 / total + omega**2
    found = fitted((printed("A", 9, 1e6),)).further_trial(12)
    assert found.log_mean == pytest.approx(weight @ mean, abs=1e-5)
    assert found.log_sd**2 == pytest.approx(weight @ (variance + (mean - weight @ mean) ** 2), rel=1e-4)


def test_known_limits_of_equal_sds():
    """Equal SDs of more and more trials: the predictive closes in on them."""
    found = [fitted(tuple(printed(str(i), 9, 400) for i in range(k))).further_trial(12) for k in (2, 6, 30)]
    assert all(more.log_sd < 0.6 * fewer.log_sd for fewer, more in pairwise(found))
    assert found[-1].log_sd < 0.03
    assert math.exp(found[-1].log_mean) == pytest.approx(9, rel=0.005)


@pytest.mark.parametrize("visits", [2, 4])
def test_known_children_seen_again_count_once(visits):
    """The same SD at every visit of a month, with its degrees of freedom shared out, is that SD once."""
    again = tuple(sd._replace(df=sd.df / visits) for sd in FIVE for _ in range(visits))
    once, more = (fitted(sds).further_trial(12).ppf(AT) for sds in (FIVE, again))
    np.testing.assert_allclose(more, once, rtol=2e-4)


def test_recovery_of_planted_trials():
    """48 trials of two arms on both scales at three months: each parameter within four posterior SDs."""
    rng, truth, omega = np.random.default_rng(13), np.array([math.log(6), 0.4, 0.7]), 0.3
    sds = []
    for i in range(48):
        month, gmfm66, u = (3, 6, 12)[i % 3], bool(i % 2), omega * rng.standard_normal()
        sigma = math.exp(truth @ [1, math.log(month / 12), not gmfm66] + u)
        drawn = sigma * np.sqrt(rng.chisquare(29, 2) / 29)
        sds += [printed(str(i), sd, 29, month=month, gmfm66=gmfm66) for sd in drawn.tolist()]
    found = fitted(tuple(sds))
    every = np.column_stack([found.coefficient, found.omega])
    mean = found.weight @ every
    sd = np.sqrt(found.weight @ (every - mean) ** 2)
    assert (np.abs(mean - [*truth, omega]) < 4 * sd).all()
    assert (sd < [0.12, 0.15, 0.15, 0.06]).all()  # and they are learnt: the priors have 1, 0.3, 0.25 and 0.3


# the named law


def test_known_law_of_a_normal_predictive():
    one = dataclasses.replace(fitted(FIVE).further_trial(12), weight=np.ones(1), mean=np.log([7.0]), sd=np.array([0.2]))
    assert isinstance(one.law, LogNormal)
    assert (one.law.median, one.law.sigma) == (pytest.approx(7, rel=1e-9), pytest.approx(0.2, rel=1e-9))
    np.testing.assert_allclose(one.cdf(one.ppf(AT)), AT, rtol=1e-12)


def test_known_law_of_a_student_t():
    """Normals of one mean, their variances those that make a t of 6 degrees of freedom."""
    variance = 6 / stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, 6)
    parts = {"weight": np.full(variance.size, 1 / variance.size), "sd": 0.4 * np.sqrt(variance)}
    law = dataclasses.replace(fitted(FIVE).further_trial(12), mean=np.full(variance.size, 2.0), **parts).law
    assert law.df == pytest.approx(6, rel=0.01)
    assert (law.location, law.scale) == (pytest.approx(2, abs=1e-6), pytest.approx(0.4, rel=0.005))


# the shipped evidence


def test_known_arms_of_the_shipped_evidence():
    sds = printed_sds(shipped_tables())
    assert {sd.study for sd in sds} == {
        *("Amanat2021", "Zarrabi2022", "Gu2020", "Kang2015", "Min2013", "Sun2017", "Sun2021sib", "Sun2022"),
    }
    assert len({sd.trial for sd in sds}) == 7  # Amanat 2021 and Zarrabi 2022 are one registered trial
    df = {(sd.study, sd.arm): sum(s.df for s in sds if (s.study, s.arm) == (sd.study, sd.arm)) for sd in sds}
    assert df["Gu2020", "ctrl"] == pytest.approx((18 + 3 * 19) / 4)  # 19 children at month 1, 20 at three more
    assert df["Sun2017", "ucb"] == 31


def test_few_trials_take_the_shipped_ones():
    shipped = shipped_tables()
    own = {name: [r for r in some if r.get("study_id") in ("Sun2017", "Gu2020")] for name, some in shipped.rows.items()}
    thin = dataclasses.replace(shipped, rows=own, sha256="own")
    assert {sd.study for sd in printed_sds(thin)} == {"Sun2017", "Gu2020"}
    assert children_sd(thin, "Gu2020").sds == printed_sds(shipped, "Gu2020")
    assert "Gu2020" not in {sd.study for sd in printed_sds(shipped, "Gu2020")}


@pytest.mark.parametrize(
    ("month", "gmfm66", "expected"),
    [(12, True, (1.896, 6.015, 18.26)), (6, True, (1.394, 4.395, 13.39)), (12, False, (3.815, 11.91, 37.84))],
)
def test_figures_of_the_shipped_evidence(month, gmfm66, expected):
    predicted = children_sd(shipped_tables()).further_trial(month, gmfm66=gmfm66)
    assert predicted.ppf(np.array([0.025, 0.5, 0.975])) == pytest.approx(expected, rel=1e-3)
    assert isinstance(predicted.law, LogStudentT)
    assert predicted.law.ppf(AT) == pytest.approx(predicted.ppf(AT), rel=0.0115)


def test_the_plainest_design_has_the_predictive_as_its_sd_of_change():
    """designs/parallel.toml, rounded: the SD of change of a plan that names none."""
    design = read_design("parallel")
    predicted = children_sd(shipped_tables()).further_trial(design.month)
    assert design.sd_change.ppf(AT) == pytest.approx(predicted.law.ppf(AT), rel=2e-3)
    said = design.children.excess_sd
    assert [said.low, said.high] == pytest.approx(predicted.ppf(AT[[0, -1]]), rel=3e-3)
    assert said.source.startswith("Predictive of the SD of 12-month change")
    assert len({sd.trial for sd in printed_sds(shipped_tables())}) == 7  # as its source says


@pytest.mark.parametrize("month", [0, -1, math.inf, math.nan])
def test_a_month_that_cannot_be_is_refused(month):
    with pytest.raises(ValueError, match=r"month .*: must be above 0"):
        fitted(FIVE).further_trial(month)
