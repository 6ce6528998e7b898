"""Success as two criteria: significant, and an estimate above a decision value."""

import math

import numpy as np
import pytest
from design_cases import arm, normal_design, two_arms
from scipy import integrate, special, stats

from gmfmsim.faults import InputError
from gmfmsim.model.truths import belief, known
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.exact import Assurance, behind, smallest
from gmfmsim.trial.protocol import protocol
from gmfmsim.trial.simulate import engine_of, simulate

DUAL = {"decision_value": 2.5}
CASES = {
    "t": (normal_design(analyses=[{"method": "t"}], objective=DUAL, children={"dropout": 0.2}), (4, 40)),
    "ancova, two to one": (
        normal_design(arms=[arm("control"), arm("cells", 5e7, ratio=2)], objective=DUAL, children={"dropout": 0.1}),
        (5, 30),
    ),
    "welch": (normal_design(analyses=[{"method": "welch"}], objective=DUAL, children={"response_sd": 5}), (4, 40)),
    "pairs": (normal_design("pairs", objective=DUAL, children={"dropout": 0.1}), (20,)),
}


@pytest.mark.parametrize("effect", [2.5, *(pytest.param(e, marks=pytest.mark.slow) for e in (1.0, 4.0))])
@pytest.mark.parametrize("case", CASES)
def test_reference_simulated_trials(case, effect):
    (design, sizes), replicates = CASES[case], 10_000
    exact = Assurance(design, design.analyses[0], known(effect))
    simulated = simulate(fixed_truths(design, effect, replicates, seed=5), design, n=sizes, seed=6)["success"]
    for n in sizes:
        p, found = exact.at(n), simulated.sel(n=n).isel(scenario=0, analysis=0).item()
        assert abs(found - p) < 4 * math.sqrt(max(p * (1 - p), 1 / replicates) / replicates), n


@pytest.mark.parametrize("n", [6, 60])
def test_reference_significance_and_relevance_by_quadrature(n):
    """E[Phi((theta - max(t se S, value)) / se)] over S."""
    design, se, df = two_arms(sd_change=6, objective=DUAL), 6 * math.sqrt(2 / n), 2 * n - 2
    t = special.stdtrit(df, 0.975)

    def given_square(x):
        return special.ndtr((3.0 - max(t * se * math.sqrt(x / df), 2.5)) / se) * stats.chi2.pdf(x, df)

    corner = df * (2.5 / (t * se)) ** 2
    expected = integrate.quad(given_square, 0, 5 * df + 50, points=[corner], epsabs=1e-10, limit=400)[0]
    assert abs(Assurance(design, design.analyses[0], known(3.0)).at(n) - expected) < 1e-8


def test_known_limits_and_what_lies_behind_n():
    design = two_arms(sd_change=6, objective=DUAL)
    spread = belief(np.ones(1), np.array([3.0]), np.array([1.5]))
    exact = Assurance(design, design.analyses[0], spread)
    assert abs(exact.plateau() - special.ndtr(0.5 / 1.5)) < 1e-12
    assert abs(exact.at(10**6) - exact.plateau()) < 1e-3
    n = smallest(exact, 0.55)
    assert exact.at(n - 1) < 0.55 <= exact.at(n)
    found = behind(design, spread, n, 0.55)
    assert abs(found["n_of_own_truth"]["none"] - special.ndtr(-0.5 / 1.5)) < 1e-12
    assert Assurance(design, design.analyses[0], known(2.5)).plateau() == 0.5


def test_the_plainest_trial_with_a_decision_value_is_simulated_with_its_criteria():
    assert engine_of(two_arms(sd_change=6)) == "two_arm"
    assert engine_of(two_arms(sd_change=6, objective=DUAL)) == "sufficient"
    assert "lies above 0 (two-sided alpha 0.05), and its estimate above 2.5 points" in protocol(
        two_arms(sd_change=6, objective=DUAL)
    )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"objective": {"claim": "equivalence", "margin": 3, "decision_value": 2}}, "superiority"),
        ({"objective": {"decision_value": 0}}, "decision_value"),
        ({"objective": DUAL, "analyses": [{"method": "wilcoxon"}]}, "decision_value"),
        ({"objective": DUAL, "analyses": [{"method": "responder", "margin": 2}]}, "decision_value"),
    ],
)
def test_a_decision_value_is_refused_where_it_decides_nothing(keys, words):
    with pytest.raises(InputError, match=words):
        two_arms(sd_change=6, **keys)
