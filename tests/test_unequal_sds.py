"""Arms with unequal SDs: the exact law of Welch's test and of the others, against formulas, brute force, simulation."""

import math

import numpy as np
import pytest
from design_cases import arm, figure, normal_design, population_design, two_arms
from scipy import integrate, special, stats

from gmfmsim.faults import InputError
from gmfmsim.model.truths import belief, known
from gmfmsim.trial.closed_form import power, sample_size
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.exact import Assurance, behind, qualifies, smallest, success, surface
from gmfmsim.trial.simulate import simulate

MIXED = belief(np.array([0.5, 0.3, 0.2]), np.array([2.0, 3.5, 0.5]), np.array([1.0, 0.4, 0.0]))
UNEQUAL = [arm("control"), arm("cells", 5e7, ratio=2)]


def welch(**keys):
    return normal_design(**{"analyses": [{"method": "welch"}], **keys})


def at(design, effect: float, n: int) -> float:
    return Assurance(design, design.analyses[0], known(effect)).at(n)


def test_reference_rpact_unequal_sds():
    """rpact: 143.378518 children for SDs 24 and 18, effect 10, by the non-central t of the df of the true SDs. Exactly
    the power at that n is 0.00006 lower, and the n the same: 72 an arm."""
    assert abs(2 * sample_size(effect=10, sd=(24, 18), power_target=0.8, method="welch") - 143.378518) < 5e-7
    design = two_arms(sd_change=18, sd_ratio=24 / 18, analyses=[{"method": "welch"}])
    assert smallest(Assurance(design, design.analyses[0], known(10.0)), 0.8) == 72
    for n, exact in ((71, 0.796080842), (72, 0.801660871)):
        assert abs(at(design, 10.0, n) - exact) < 1e-8
        assert 0 < power(n, n, effect=10, sd=(24, 18), method="welch") - exact < 7e-5


@pytest.mark.parametrize("method", ["welch", "t"])
@pytest.mark.parametrize(("n", "ratio"), [(2, 2), (3, 1), (5, 3), (12, 1)])
def test_reference_both_variances_by_quadrature(method, n, ratio):
    """E[Phi((effect - t(df) se(W)) / se)] over two independent variances W."""
    arms = [arm("control"), arm("cells", 5e7, ratio=ratio)]
    design = normal_design(arms=arms, analyses=[{"method": method}], children={"response_sd": 7})
    sizes, sds = np.array([n * ratio, n]), np.array([math.hypot(5, 7), 5])
    df, se = sizes - 1, math.sqrt((sds**2 / sizes).sum())
    nodes, weights = (np.repeat(x[:, None], 2, axis=1) for x in np.polynomial.legendre.leggauss(400))
    low, high = (np.log(stats.chi2.ppf(p, df) if p else stats.chi2.isf(1e-13, df)) for p in (1e-13, 0))
    log = low + (high - low) / 2 * (1 + nodes)
    chance = weights * (high - low) / 2 * stats.chi2.pdf(np.exp(log), df) * np.exp(log)
    one, other = np.meshgrid(*(np.exp(log) / df * sds**2).T, indexing="ij")
    if method == "welch":
        square = one / sizes[0] + other / sizes[1]
        of_test = square**2 / ((one / sizes[0]) ** 2 / df[0] + (other / sizes[1]) ** 2 / df[1])
    else:
        square, of_test = (df[0] * one + df[1] * other) / df.sum() * (1 / sizes).sum(), np.full(one.shape, df.sum())
    values = special.ndtr((3.0 - special.stdtrit(of_test, 0.975) * np.sqrt(square)) / se)
    expected = (np.outer(*chance.T) * values).sum()
    assert abs(at(design, 3.0, n) - expected) < 1e-7
    assert abs(surface(design, n=[n], sd=[5.0], effect=[3.0]).item() - expected) < 1e-7


def test_known_no_response_is_the_t_test():
    """With nothing that cells do to the SD the law by two variances is that by one: the pooled t test."""
    hardly = {"response_sd": 1e-9}
    for objective in ({"claim": "superiority"}, {"claim": "equivalence", "margin": 4}):
        for n in (2, 5, 40):
            plain, other = (
                normal_design(arms=UNEQUAL, analyses=[{"method": "t"}], objective=objective, children=c)
                for c in ({}, hardly)
            )
            assert abs(at(plain, 2.0, n) - at(other, 2.0, n)) < 1e-8


def test_property_welch_with_equal_sds_and_sizes_is_nearly_the_t_test():
    t = normal_design(analyses=[{"method": "t"}])
    apart = [at(t, 3.0, n) - at(welch(), 3.0, n) for n in (5, 10, 20, 40, 80)]
    assert all(0 < a < 0.02 for a in apart)
    assert apart[-1] < 1e-4
    assert apart == sorted(apart, reverse=True)


def test_reference_uncertain_sd_and_truths_by_quadrature():
    children = {"excess_sd": {**figure(6.0), "sigma": 0.2}, "excess_growth": 0, "measurement_error": 0.5}
    design = welch(children=children | {"response_sd": 4})

    def given_z(z):
        row = surface(design, n=[30], sd=[6 * math.exp(0.2 * z)], effect=truths[0]).values.ravel()
        return (row * truths[1]).sum() * stats.norm.pdf(z)

    x, w = np.polynomial.hermite_e.hermegauss(40)
    parts = zip(MIXED.weight, MIXED.mean, MIXED.sd, strict=True)
    truths = np.hstack([(m + s * x, weight * w / w.sum()) for weight, m, s in parts])
    expected = integrate.quad(given_z, -6, 6, epsabs=1e-7)[0]
    assert abs(success(design, design.analyses[0], MIXED, n=[30]).item() - expected) < 1e-6


CASES = {
    "welch": (welch(children={"response_sd": 6, "dropout": 0.2}), (3, 12)),
    "welch, two to one": (welch(arms=UNEQUAL, children={"response_sd": 8, "dropout": 0.3}), (3, 25)),
    "welch, equal SDs": (welch(arms=UNEQUAL), (2, 20)),
    "welch, part present": (welch(visits=[6, 12], onset=[0.5, 0.8], children={"response_sd": 6}), (15,)),
    "welch, crossover": (
        normal_design("crossover", analyses=[{"method": "welch"}], children={"response_sd": 5}),
        (15,),
    ),
    "welch, equivalence": (
        welch(objective={"claim": "equivalence", "margin": 4}, children={"response_sd": 4, "dropout": 0.1}),
        (35,),
    ),
    "t": (
        normal_design(arms=UNEQUAL, analyses=[{"method": "t"}], children={"response_sd": 8, "dropout": 0.2}),
        (3, 20),
    ),
    "t, factorial": (normal_design("factorial", analyses=[{"method": "t"}], children={"response_sd": 6}), (3, 15)),
    "pairs": (normal_design("pairs", children={"response_sd": 6, "dropout": 0.1}), (5, 20)),
    "clusters": (normal_design("cluster", cluster_size=4, children={"response_sd": 8}), (8, 24)),
    "single arm": (normal_design("single_arm", children={"response_sd": 6, "dropout": 0.2}), (4, 15)),
}


@pytest.mark.parametrize("effect", [3.5, pytest.param(0.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_reference_simulated_trials(case, effect):
    """Within 4 Monte Carlo errors at every n, with and without an effect."""
    (design, sizes), replicates = CASES[case], 12_000
    simulated = simulate(fixed_truths(design, effect, replicates, seed=7), design, n=sizes, seed=8)["success"]
    for n in sizes:
        p, found = at(design, effect, n), simulated.sel(n=n).isel(scenario=0, analysis=0).item()
        assert abs(found - p) < 4 * math.sqrt(max(p * (1 - p), 1 / replicates) / replicates), n


def test_what_lies_behind_an_n_of_unequal_sds():
    design = welch(children={"response_sd": 4, "dropout": 0.1})
    exact = Assurance(design, design.analyses[0], MIXED)
    n = smallest(exact, 0.7)
    assert exact.at(n - 1) < 0.7 <= exact.at(n)
    assert abs(exact.at(n) - exact.rough(n)) < 0.02
    assert abs(exact.at(10**6) - exact.plateau()) < 2e-3
    found = behind(design, MIXED, n, 0.7)
    assert found["n_of_own_truth"]["none"] == 1 - exact.plateau()


@pytest.mark.parametrize(
    ("design", "reason"),
    [
        (normal_design(children={"response_sd": 3}), "respond differently"),
        (normal_design("factorial", analyses=[{"method": "t"}]), None),
        (normal_design("crossover", children={"response_sd": 3}), "respond differently"),
        (population_design(analyses=[{"method": "welch"}]), "growth curves"),
    ],
)
def test_where_unequal_sds_have_no_known_law(design, reason):
    found = qualifies(design, design.analyses[0])
    assert found == reason or reason in found


def test_a_welch_test_of_four_groups_has_no_known_law():
    design = normal_design("factorial", analyses=[{"method": "welch"}])
    assert "more than two groups" in qualifies(design, design.analyses[0])


# the key


@pytest.mark.parametrize(("month", "onset"), [(12, 1.0), (6, 0.5)])
def test_sd_ratio_is_that_of_the_changes_with_and_without_cells(month, onset):
    design = two_arms(sd_change=6, sd_ratio=1.5, month=month, onset=[onset])
    without = design.children.change_sd(month, np.array([design.children.excess_sd.value])).item()
    assert without == pytest.approx(6)
    assert math.hypot(without, onset * design.children.response_sd.value) == pytest.approx(9)
    assert design.children.response_sd.source == "this experiment"
    assert not design.two_arms_one_test


def test_sd_ratio_is_refused_where_it_says_nothing():
    for keys in ({"sd_ratio": 0.8}, {"sd_ratio": 2, "children": "preschool"}):
        with pytest.raises(InputError, match="sd_ratio"):
            two_arms(sd_change=6, **keys)
