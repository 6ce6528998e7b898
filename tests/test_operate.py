"""Simulated designs against closed forms, in the limit of many children, and the rules of the simulation.

Monte Carlo tolerances are 4 MCSE: that of the exact power where it is known, else of the simulated figures.
"""

import hashlib
import math
import tracemalloc
from itertools import product
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr
from design_cases import arm, figure, normal_design, population_design
from scipy import special, stats

from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.streams import stream
from gmfmsim.trial import closed_form
from gmfmsim.trial import operate as operating
from gmfmsim.trial.closed_form import (
    StandardError,
    claim_power,
    of_clusters,
    of_contrast,
    of_crossover,
    of_mmrm,
    of_one_sample,
)
from gmfmsim.trial.design import Design
from gmfmsim.trial.dose_power import contrast_power
from gmfmsim.trial.dose_shapes import Candidate, optimal_contrasts, standardised_means
from gmfmsim.trial.operate import engine_of, limit, operate, primary_only
from gmfmsim.trial.tally import Tally

SD = 5.0
"""SD of the change over 12 months in design_cases."""

ALL = {"t", "welch", "z", "ancova"}
TWO_TO_ONE = [arm("control"), arm("cells", 5e7, ratio=2)]
FOUR_DOSES = [arm("control", ratio=2), arm("low", 1e7), arm("middle", 3e7), arm("high", 5e7)]
TWO_ARMS = np.array([-1.0, 1.0])


def methods(*names: str, **more) -> list[dict]:
    return [{"method": name, **more} for name in names]


def truths(design: Design, effects: dict, replicates: int, *, rounds: int = 1, batches: int = 50) -> xr.Dataset:
    """Truths as model.truths gives them: effects (A,) or (draw, A) by scenario; the same batches in a round."""
    per_round = replicates // rounds
    rows = [np.broadcast_to(np.asarray(e, float), (replicates, len(design.arms))) for e in effects.values()]
    u = np.concatenate([stream(1, "sd of change", i).random(per_round) for i in range(rounds)])
    batch = np.tile(np.arange(per_round) * min(batches, per_round) // per_round, rounds)
    return xr.Dataset(
        {"effect": (("scenario", "draw", "arm"), np.stack(rows)), "sd_change": ("draw", design.sd_change.ppf(u))},
        coords={"scenario": list(effects), "arm": [a.name for a in design.arms], "batch": ("draw", batch)},
        attrs={"rounds": rounds, "posterior_draws": per_round},
    )


def simulated(design: Design, effect, n: int, replicates: int, *, seed: int = 1, engine: str = "auto") -> xr.Dataset:
    """Operating characteristics at one truth and n, by analysis."""
    found = operate(truths(design, {"truth": effect}, replicates), design, n=[n], seed=seed, engine=engine)
    return found.sel(scenario="truth", n=n)


def agrees(found: xr.Dataset, exact: dict[str, float], replicates: int):
    for label, power in exact.items():
        mcse = math.sqrt(power * (1 - power) / replicates)
        assert found["success"].sel(analysis=label).item() == pytest.approx(power, abs=4 * mcse), label


# exact powers


def sd_of(design: Design, weights) -> float:
    """SD of a weighted sum of a child's scores at baseline and visits."""
    covariance = design.children.moments(design.visits, SD)[1]
    return math.sqrt(np.array(weights) @ covariance @ weights)


def residual(design: Design, visits: int) -> np.ndarray:
    """Covariance (V, V) of the first visits given the baseline."""
    c = design.children.moments(design.visits, SD)[1][: 1 + visits, : 1 + visits]
    return c[1:, 1:] - np.outer(c[1:, 0], c[1:, 0]) / c[0, 0]


def ancova_power(n, weights, effect: float, sd: float, **claim) -> float:
    """Power of the ANCOVA with residual SD `sd`, over the chance imbalance of the baseline between arms.

    se^2 = sd^2 sum(w^2 / n) (1 + F / df), F ~ F(1, df), df = N - arms, one more lost to the slope.
    """
    se, df = of_contrast(n, weights, sd)
    f = special.fdtri(1, df, (np.arange(100) + 0.5) / 100)
    errors = (StandardError(se * math.sqrt(1 + each / df), df - 1) for each in f)
    return float(np.mean([claim_power(effect, error, **claim) for error in errors]))


def own_variances_power(n1: int, n0: int, effect: float, sd: float, *, welch: bool) -> float:
    """Power of the test with the SD of each arm, over both estimated SDs; welch: df by Satterthwaite, else normal."""
    (s1, w1), (s0, w0) = pooled_sd(n1 - 1), pooled_sd(n0 - 1)
    a, b = (sd * s1[:, None]) ** 2 / n1, (sd * s0) ** 2 / n0
    df = (a + b) ** 2 / (a**2 / (n1 - 1) + b**2 / (n0 - 1))
    critical = special.stdtrit(df, 0.975) if welch else special.ndtri(0.975)
    success = special.ndtr((effect - critical * np.sqrt(a + b)) / (sd * math.sqrt(1 / n1 + 1 / n0)))
    return float(w1 @ success @ w0)


def over_completers(power, sizes: list[int], kept: float) -> float:
    """Average power(n) over the children of each arm who are not lost; an arm with fewer than two shows nothing."""
    held = [[(k, p) for k in range(2, size + 1) if (p := stats.binom(size, kept).pmf(k)) > 1e-7] for size in sizes]
    return sum(math.prod(p for _, p in arms) * power([k for k, _ in arms]) for arms in product(*held))


def responder_power(n1: int, n0: int, share1: float, share0: float) -> float:
    """Power of the two-proportion z test over all pairs of binomial counts."""
    a, c = np.arange(n1 + 1)[:, None], np.arange(n0 + 1)
    both = (a + c) / (n1 + n0)
    significant = a / n1 - c / n0 > special.ndtri(0.975) * np.sqrt(both * (1 - both) * (1 / n1 + 1 / n0))
    return float((stats.binom(n1, share1).pmf(a) * stats.binom(n0, share0).pmf(c))[significant].sum())


def within_arms_power(design: Design, n: list[int], effect: float) -> dict[str, float]:
    """Power of the four analyses of two arms at the first visit."""
    sd, rest = sd_of(design, [-1, 1] + [0] * (len(design.visits) - 1)), math.sqrt(residual(design, 1)[0, 0])
    return {
        "t": claim_power(effect, of_contrast(n, TWO_ARMS, sd)),
        "welch": own_variances_power(n[1], n[0], effect, sd, welch=True),
        "z": own_variances_power(n[1], n[0], effect, sd, welch=False),
        "ancova": ancova_power(n, TWO_ARMS, effect, rest),
    }


# power


@pytest.mark.parametrize(("arms", "n"), [(None, 16), (TWO_TO_ONE, 9)])
def test_reference_power_of_two_arms(arms, n):
    design = normal_design(analyses=methods(*ALL), **({"arms": arms} if arms else {}))
    exact = within_arms_power(design, list(design.sizes(n).values()), 4.0)
    agrees(simulated(design, [0, 4], n, 40_000), exact, 40_000)
    assert max(exact.values()) - min(exact.values()) > 0.01  # so that one analysis does not pass for another


def test_reference_power_with_losses_at_random():
    design = normal_design(analyses=methods("t", "ancova"), children={"dropout": 0.3})
    rest = math.sqrt(residual(design, 1)[0, 0])
    exact = {
        "t": over_completers(lambda n: claim_power(5, of_contrast(n, TWO_ARMS, SD)), [14, 14], 0.7),
        "ancova": over_completers(lambda n: ancova_power(n, TWO_ARMS, 5, rest), [14, 14], 0.7),
    }
    found = simulated(design, [0, 5], 14, 40_000)
    agrees(found, exact, 40_000)
    assert found["completers"].item() == pytest.approx(28 * 0.7, abs=4 * math.sqrt(28 * 0.21 / 40_000))
    assert found["completers_mcse"].item() == pytest.approx(math.sqrt(28 * 0.21 / 40_000), rel=0.05)  # of 40,000 trials


def test_reference_power_of_a_factorial_trial():
    """The main effect of the cells has half of the interaction; that of the other drug cancels."""
    design = normal_design("factorial", analyses=methods("t", "ancova"), drug_effect=3, interaction=2)
    n, main = [9] * 4, 2.5 + 2 / 2
    exact = {
        "t": claim_power(main, of_contrast(n, design.weights, SD)),
        "ancova": ancova_power(n, design.weights, main, math.sqrt(residual(design, 1)[0, 0])),
    }
    agrees(simulated(design, [0, 2.5, 0, 2.5], 9, 40_000), exact, 40_000)


@pytest.mark.parametrize("carry_over", [0.0, -0.5])
def test_reference_power_of_a_crossover(carry_over):
    """carry_over takes its half of the effect from the analysis within children, and period_effect nothing."""
    design = normal_design(
        "crossover", analyses=methods("within_child", "t", "ancova"), carry_over=carry_over, period_effect=2
    )
    exact = within_arms_power(design, [12, 12], 3.5)
    error = of_crossover(12, 12, 2 * sd_of(design, [-0.5, 1, -0.5]))
    exact = {k: exact[k] for k in ("t", "ancova")} | {"within_child": claim_power(3.5 * (1 - carry_over / 2), error)}
    agrees(simulated(design, [0, 3.5], 12, 20_000), exact, 20_000)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_reference_power_of_pairs(dropout):
    design = normal_design("pairs", children={"dropout": dropout})
    shared = 0.6 * design.children.true_excess_sd([12], SD).item() ** 2
    sd = math.sqrt(2 * (SD**2 - shared))
    exact = over_completers(lambda n: claim_power(3.5, of_one_sample(*n, sd)), [20], (1 - dropout) ** 2)
    agrees(simulated(design, [0, 3.5], 20, 10_000), {"paired_t": exact}, 10_000)


def test_reference_power_of_clusters():
    design = normal_design("cluster", icc=0.15, cluster_size=6)
    exact = claim_power(4, of_clusters(36, 36, SD, size=6, icc=0.15))
    agrees(simulated(design, [0, 4], 36, 10_000), {"cluster_t": exact}, 10_000)


def test_reference_power_of_one_arm():
    """Against natural history with and without an allowance, and against published children."""
    published = {"mean": 3.0, "sd": 7.0, "n": 30}
    both = [{"method": "one_sample"}, {"method": "one_sample", "allowance": 1}, {"method": "historical", **published}]
    design = normal_design("single_arm", analyses=both, children={"dropout": 0.2, "growth": 4})

    def historical(n) -> float:  # the growth of 4 points is more than the published mean
        return closed_form.historical_power(2.5 + 4 - 3, *n, SD, historical_n=30, historical_sd=7)

    exact = {
        "one_sample (allowance 0)": over_completers(lambda n: claim_power(2.5, of_one_sample(*n, SD)), [24], 0.8),
        "one_sample (allowance 1)": over_completers(lambda n: claim_power(1.5, of_one_sample(*n, SD)), [24], 0.8),
        "historical": over_completers(historical, [24], 0.8),
    }
    agrees(simulated(design, [2.5], 24, 20_000), exact, 20_000)


@pytest.mark.parametrize(("claim", "margin", "effect"), [("non_inferiority", 2.5, 0.5), ("equivalence", 4.0, 0.5)])
def test_reference_power_of_other_claims(claim, margin, effect):
    objective = {"claim": claim, "margin": margin}
    design = normal_design(analyses=methods("t", "ancova"), objective=objective)
    rest = math.sqrt(residual(design, 1)[0, 0])
    exact = {
        "t": claim_power(effect, of_contrast([32, 32], TWO_ARMS, SD), **objective),
        "ancova": ancova_power([32, 32], TWO_ARMS, effect, rest, **objective),
    }
    agrees(simulated(design, [0, effect], 32, 40_000), exact, 40_000)


def test_reference_power_of_the_mixed_model():
    """Complete: the ANCOVA of the last visit. With losses: the large-sample form, whose error is O(1/n), at n = 400."""
    more = {"visits": [3, 6, 12], "analyses": methods("mmrm")}
    complete = normal_design(**more)
    rest = residual(complete, 3)
    exact = ancova_power([12, 12], TWO_ARMS, 4.5, math.sqrt(rest[-1, -1]))
    agrees(simulated(complete, [0, 4.5], 12, 20_000), {"mmrm": exact}, 20_000)
    lossy = normal_design(children={"dropout": 0.4}, **more)
    sd = np.sqrt(np.diag(rest))
    retention = 0.6 ** (np.arange(1, 4) / 3)
    error = of_mmrm(400, 400, sd[-1], correlation=rest / np.outer(sd, sd), retention=retention)
    agrees(simulated(lossy, [0, 1.0], 400, 10_000), {"mmrm": claim_power(1.0, error)}, 10_000)


def test_reference_power_of_responders():
    design = normal_design(analyses=methods("responder", margin=5))
    shares = [closed_form.responder_share(4 + effect, SD, 5) for effect in (4, 0)]
    agrees(simulated(design, [0, 4], 30, 10_000), {"responder (> 5)": responder_power(30, 30, *shares)}, 10_000)


def test_reference_power_along_doses():
    """Uneven allocation; a dose-response that rises late, so that the contrasts differ in power."""
    candidates = [{"curve": "linear"}, {"curve": "emax", "ed50": 0.2}, {"curve": "exponential", "delta": 0.3}]
    analyses = [*methods("trend", "dunnett"), {"method": "mcp_mod", "candidates": candidates}]
    design = normal_design(arms=FOUR_DOSES, analyses=[*analyses, {"method": "trend", "scores": "dose"}])
    n, means, doses = np.array([24, 12, 12, 12]), np.array([0, 0, 1, 4]), np.array([0, 1, 3, 5])
    shapes = standardised_means([Candidate(**c) for c in candidates], doses)
    contrasts = {
        "trend": optimal_contrasts(np.arange(4)[None], n),
        "trend (dose)": optimal_contrasts(doses[None], n),
        "dunnett": np.hstack([-np.ones((3, 1)), np.eye(3)]),
        "mcp_mod": optimal_contrasts(shapes, n),
    }
    exact = {label: contrast_power(means, c, n, sd=SD).item() for label, c in contrasts.items()}
    agrees(simulated(design, means, 12, 40_000), exact, 40_000)


def test_reference_power_when_nobody_knows_the_sd():
    """The closed form averaged over the distribution of the SD, by its quantiles."""
    design = normal_design(analyses=methods("t"), children={"excess_sd": figure(SD, sigma=0.4)})
    sds = design.children.excess_sd.distribution.ppf((np.arange(400) + 0.5) / 400)
    exact = float(np.mean([claim_power(4, of_contrast([20, 20], TWO_ARMS, sd)) for sd in sds]))
    agrees(simulated(design, [0, 4], 20, 40_000), {"t": exact}, 40_000)
    assert abs(exact - claim_power(4, of_contrast([20, 20], TWO_ARMS, SD))) > 0.01


def test_known_assurance_is_the_average_power():
    """Truths that differ between draws: success is the mean of the closed form over them, and so is its error."""
    replicates = 10_000
    design = normal_design(analyses=methods("t"), children={"excess_sd": figure(SD, sigma=0.2)})
    effect = np.zeros((replicates, 2))
    effect[:, 1] = stream(3, "effects").normal(2, 2, replicates)
    what = truths(design, {"new_study": effect}, replicates, rounds=2)
    found = operate(what, design, n=[25], seed=2).sel(scenario="new_study", n=25, analysis="t")
    sds = what["sd_change"].values
    power = np.array(
        [claim_power(e, of_contrast([25, 25], TWO_ARMS, sd)) for e, sd in zip(effect[:, 1], sds, strict=True)]
    )
    mcse = math.sqrt((power * (1 - power)).mean() / replicates)
    assert found["success"].item() == pytest.approx(power.mean(), abs=4 * mcse)
    p = power.mean()
    spread = 4 / math.sqrt(2 * 49)  # of an SD from 50 batches
    assert found["success_mcse"].item() == pytest.approx(math.sqrt(p * (1 - p) / replicates), rel=spread)
    assert found["plateau"].item() == (effect[:, 1] > 0).mean()


# bias and coverage


UNBIASED = {
    "two arms": (normal_design(analyses=methods(*ALL, "bayes"), children={"dropout": 0.2}), [0, 2]),
    "visits": (
        normal_design(analyses=methods("mmrm", "t"), visits=[6, 12], onset=[0.5, 1], children={"dropout": 0.3}),
        [0, 2],
    ),
    "factorial": (normal_design("factorial"), [0, 2, 0, 2]),
    "doses": (normal_design(arms=FOUR_DOSES, analyses=methods("trend")), [0, 1, 3, 2]),
    "crossover": (normal_design("crossover", period_effect=1), [0, 2]),
    "pairs": (normal_design("pairs"), [0, 2]),
    "cluster": (normal_design("cluster", cluster_size=5), [0, 2]),
    "single_arm": (normal_design("single_arm"), [2]),
}


@pytest.mark.parametrize("case", UNBIASED)
def test_known_estimates_are_unbiased_and_intervals_cover(case):
    design, effect = UNBIASED[case]
    n = 60 if case == "visits" else 25  # the mixed model with losses covers in larger samples
    found = simulated(design, effect, n, 20_000 if engine_of(design) == "sufficient" else 5000, seed=4)
    assert (abs(found["bias"]) < 4 * found["bias_mcse"]).all()
    exact = found.sel(analysis=[a for a in found["analysis"].values if a not in ("z",)])  # z takes the SD as known
    assert (abs(exact["coverage"] - 0.95) < 4 * exact["coverage_mcse"]).all()
    assert (abs(exact["model_se"] - exact["empirical_se"]) < 4 * exact["empirical_se_mcse"]).all()
    assert (found["failed"] == 0).all()


def test_known_biases():
    """carry_over halves its way into the analysis within children; an allowance comes off the effect of one arm."""
    crossover = simulated(normal_design("crossover", carry_over=-1), [0, 3], 25, 2000)
    assert crossover["bias"].values == pytest.approx([1.5, 0], abs=4 * crossover["bias_mcse"].values.max())
    one = simulated(normal_design("single_arm", analyses=methods("one_sample", allowance=1)), [2], 25, 2000)
    assert one["bias"].item() == pytest.approx(-1, abs=4 * one["bias_mcse"].item())


# two ways to simulate


@pytest.mark.parametrize(
    ("design", "effect"),
    [
        (
            normal_design(
                arms=TWO_TO_ONE, visits=[6, 12], analyses=methods("t", "ancova", "mmrm"), children={"dropout": 0.3}
            ),
            [0, 4],
        ),
        (normal_design("factorial", analyses=methods("t", "ancova"), children={"dropout": 0.1}), [0, 3, 0, 3]),
        (normal_design("crossover", analyses=methods("t", "ancova"), children={"dropout": 0.2}), [0, 4]),
        (normal_design(arms=FOUR_DOSES, analyses=methods("dunnett")), [0, 1, 3, 4]),
    ],
    ids=["two arms", "factorial", "crossover", "doses"],
)
def test_both_engines_agree(design, effect):
    fast, slow = (
        simulated(design, effect, 12, k, engine=engine, seed=k)
        for engine, k in (("auto", 20_000), ("children", 10_000))
    )
    assert (fast.attrs["engine"], slow.attrs["engine"]) == ("sufficient", "children")
    for name in ("success", "bias", "empirical_se", "model_se", "coverage", "width"):
        error = np.hypot(fast[f"{name}_mcse"], slow[f"{name}_mcse"])
        assert (abs(fast[name] - slow[name]) < 4 * error).all(), name


def test_the_engine_is_the_fastest_that_is_right():
    assert engine_of(normal_design()) == "sufficient"
    assert engine_of(normal_design(), "children") == "children"
    assert engine_of(normal_design(analyses=methods("t", "wilcoxon"))) == "children"
    assert engine_of(normal_design("pairs")) == "children"
    assert engine_of(population_design()) == "children"
    with pytest.raises(ValueError, match="allowed: auto, looks, two_arm, sufficient, children"):
        engine_of(normal_design(), "moments")


# many children


def shifted(theta: float, arms: int = 2) -> list[float]:
    return [0.0] * (arms - 1) + [theta]


HISTORICAL = {"method": "historical", "mean": 3.0, "sd": 2.0, "n": 5}
HISTORICAL_ERROR = special.stdtrit(4, 0.975) * 2 / math.sqrt(5)
DOSE_SHAPES = [{"curve": "linear"}, {"curve": "quadratic", "delta": -0.8}]

EDGES = {
    **{m: (normal_design(analyses=methods(m)), shifted(0)) for m in (*sorted(ALL), "mmrm", "wilcoxon", "bayes")},
    "responder": (normal_design(analyses=methods("responder", margin=5)), shifted(0)),
    "losses": (normal_design(children={"dropout": 0.3}), shifted(0)),
    "factorial": (normal_design("factorial", interaction=3), [0, -1.5, 0, -1.5]),
    "carry-over": (normal_design("crossover", carry_over=-0.6, period_effect=2), shifted(0)),
    "pairs": (normal_design("pairs"), shifted(0)),
    "cluster": (normal_design("cluster"), shifted(0)),
    "one arm": (normal_design("single_arm", analyses=methods("one_sample", allowance=1.5)), [1.5]),
    "non-inferiority": (normal_design(objective={"claim": "non_inferiority", "margin": 2}), shifted(-2)),
    **{m: (normal_design(arms=FOUR_DOSES, analyses=methods(m)), [0] * 4) for m in ("trend", "dunnett")},
    "closed": (normal_design(arms=FOUR_DOSES, analyses=methods("closed_dunnett")), [0] * 4),
    "mcp_mod": (normal_design(arms=FOUR_DOSES, analyses=methods("mcp_mod", candidates=DOSE_SHAPES)), [0] * 4),
}
"""Designs and the effects of their arms at which the claim is neither true nor false."""


def meets_limit(design: Design, effect, expected: float, n: int, replicates: int):
    """Whether the limit is what it should be, and the simulated share of so large a trial is the limit."""
    assert limit(design, np.array(effect, float)[:, None], seed=1).item() == pytest.approx(expected)
    first, _ = primary_only(design)
    agrees(simulated(first, effect, n, replicates).isel(analysis=[0]), {first.analyses[0].label: expected}, replicates)


@pytest.mark.parametrize("case", EDGES)
def test_known_limit_of_success(case):
    """Half a point above the edge of the claim all large trials succeed, half a point below none, on it alpha/2."""
    design, edge = EDGES[case]
    edge, treated = np.array(edge, float), np.array([a.dose > 0 for a in design.arms])
    children = engine_of(design) == "children"
    n, replicates = (12_000, 50) if children else (20_000, 200)
    meets_limit(design, edge + 0.5 * treated, 1.0, n, replicates)
    meets_limit(design, edge - 0.5 * treated, 0.0, n, replicates)
    meets_limit(design, edge, design.alpha / 2, 200 if children else 20_000, 4000)


def test_known_limit_of_equivalence():
    design = normal_design(objective={"claim": "equivalence", "margin": 2})
    for effect, expected in ((-2.5, 0), (-2, 0.025), (-1.5, 1), (1.5, 1), (2, 0.025), (2.5, 0)):
        meets_limit(design, [0, effect], expected, 20_000, 4000)


def test_known_limit_of_a_dual_criterion():
    """At its decision value half of the estimates of large trials lie above it, and all of them are significant."""
    design = normal_design(objective={"decision_value": 2.5})
    for effect, expected in ((0, 0), (2, 0), (2.5, 0.5), (3, 1)):
        meets_limit(design, [0, effect], expected, 20_000, 4000)


def test_known_limit_against_published_children():
    """Their error stays, with their own degrees of freedom: four here."""
    design = normal_design("single_arm", analyses=[HISTORICAL], children={"growth": 4})
    normal_error = special.ndtri(0.975) * 2 / math.sqrt(5)
    for theta, expected in ((HISTORICAL_ERROR + 0.3, 1), (HISTORICAL_ERROR - 0.3, 0), (normal_error + 0.3, 0)):
        meets_limit(design, [theta - 4 + 3], expected, 12_000, 50)


def test_known_limit_of_volunteers():
    """One arm of volunteers gains 3 points without cells; the limit keeps what the allowance does not take off."""
    for allowance, effect, expected in ((0, -2, 1), (0, -4, 0), (2, -0.5, 1), (4, 0.5, 0), (3, 0.5, 1)):
        design = population_design("single_arm", analyses=methods("one_sample", allowance=allowance))
        meets_limit(design, [effect], expected, 12_000, 50)
    half = population_design("single_arm", visits=[6])
    meets_limit(half, [-1.2], 1, 12_000, 50)
    meets_limit(half, [-1.8], 0, 12_000, 50)


def test_known_limit_against_published_children_of_volunteers():
    """Published children who gained 3 points: those of the curves gain more, growth and volunteering together."""
    design = population_design("single_arm", analyses=[HISTORICAL | {"n": 500}])
    gain = simulated(population_design("single_arm"), [0], 20_000, 20)  # about its own gain
    assert gain["bias"].item() == pytest.approx(3, abs=0.1)
    surface = operate(truths(design, {"a": [-4.0], "b": [0.0]}, 50), design, n=[12_000], seed=1).isel(analysis=0)
    assert surface["plateau"].values.tolist() == surface["success"].isel(n=0).values.tolist() == [0.0, 1.0]


def test_known_limit_of_doses_that_differ_in_sign():
    """The middle dose helps, the highest harms: Dunnett finds the one, a trend the other."""
    effect = [0, 0, 2, -1]
    for analysis, expected in (
        ({"method": "dunnett"}, 1),
        ({"method": "closed_dunnett"}, 1),
        ({"method": "trend"}, 0),
        ({"method": "mcp_mod", "candidates": [{"curve": "linear"}]}, 0),
        ({"method": "mcp_mod", "candidates": DOSE_SHAPES}, 1),
    ):
        design = normal_design(arms=FOUR_DOSES, analyses=[analysis])
        meets_limit(design, effect, expected, 20_000, 200)


def test_the_estimand_takes_the_share_present():
    design = normal_design("factorial", onset=[0.5], interaction=2)
    assert design.estimand(np.array([[0], [3], [0], [3.0]])) == pytest.approx([0.5 * (3 + 1)])


def test_known_children_enrolled_before_a_run_in():
    """42 children after a run-in that loses 30 %: 60, to the child; 44: 62.9, so 63."""
    design = normal_design(run_in={"months": 3, "loss": figure(0.3)})
    found = operate(truths(design, {"a": [0, 1]}, 100), design, n=[21, 22], seed=1)
    assert found["randomised"].values.tolist() == [42, 44]
    assert found["enrolled"].values.tolist() == [60, 63]


# the rules of the simulation


class Recording(Tally):
    """A tally that keeps the estimates of every block it is given."""

    blocks: ClassVar[dict] = {}

    def add(self, estimates, truth, batch, completers):
        self.blocks.setdefault(id(self), []).append(estimates)
        super().add(estimates, truth, batch, completers)


@pytest.fixture
def recorded(monkeypatch):
    """Return a function that simulates, and gives the estimates (draw,) of the primary analysis by (scenario, n)."""

    def estimates(design: Design, what: xr.Dataset, *, n: list[int], engine: str, seed: int = 1) -> list[np.ndarray]:
        monkeypatch.setattr(Recording, "blocks", {})
        monkeypatch.setattr(operating, "Tally", Recording)
        operate(what, design, n=n, seed=seed, engine=engine)
        label = design.analyses[0].label
        return [np.concatenate([e[label].estimate for e in blocks]) for blocks in Recording.blocks.values()]

    return estimates


ENGINES = ("auto", "children")


def digest(found: xr.Dataset) -> str:
    return hashlib.sha256(b"".join(v.values.tobytes() for v in found.data_vars.values())).hexdigest()


@pytest.mark.parametrize("engine", ENGINES)
def test_same_seed_same_bytes(engine):
    design = normal_design(visits=[6, 12], analyses=methods("ancova", "t"), children={"dropout": 0.2})
    what = truths(design, {"a": [0, 2], "b": [0, 0]}, 3000)
    runs = [operate(what, design, n=[5, 20], seed=seed, engine=engine) for seed in (1, 1, 2)]
    assert digest(runs[0]) == digest(runs[1]) != digest(runs[2])
    xr.testing.assert_identical(runs[0], runs[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_more_rounds_extend_and_change_nothing(engine, recorded):
    """Rounds of 2500 trials, not a multiple of any block."""
    design = normal_design(children={"dropout": 0.2})
    short, long = (
        recorded(design, truths(design, {"a": [0, 2]}, 2500 * rounds, rounds=rounds), n=[9], engine=engine)
        for rounds in (1, 3)
    )
    assert (short[0].size, long[0].size) == (2500, 7500)
    np.testing.assert_array_equal(long[0][:2500], short[0])
    assert np.unique(long[0]).size == 7500  # every round has noise of its own


@pytest.mark.parametrize("engine", ENGINES)
def test_scenarios_meet_the_same_noise(engine, recorded):
    """Estimates of two scenarios at one draw differ by their effects alone, which independent ones would not."""
    design = normal_design(children={"dropout": 0.2})
    none, some = recorded(design, truths(design, {"a": [0, 0], "b": [0, 3]}, 2000), n=[15], engine=engine)
    assert none.std() > 1
    np.testing.assert_allclose(some - none, 3, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_curves_over_n_are_smooth(engine):
    """Neighbouring n share their noise: the error of a step is far below that of independent trials."""
    design, n, replicates = normal_design(analyses=methods("t")), list(range(30, 42)), 2000
    found = operate(truths(design, {"a": [0, 2.5]}, replicates), design, n=n, seed=6, engine=engine)
    exact = np.array([claim_power(2.5, of_contrast([k, k], TWO_ARMS, SD)) for k in n])
    steps = np.diff(found["success"].values[0, :, 0] - exact)
    independent = 2 * exact.mean() * (1 - exact.mean()) / replicates
    assert (steps**2).mean() < independent / 5


def test_known_differences_between_analyses_are_paired():
    design = normal_design(analyses=methods("ancova", "t"))
    found = simulated(design, [0, 3], 20, 10_000)
    success, error = found["success"], found["success_mcse"]
    difference = found["difference"].sel(analysis="ancova", versus="t").item()
    assert difference == pytest.approx((success.sel(analysis="ancova") - success.sel(analysis="t")).item(), abs=1e-12)
    mcse = found["difference_mcse"].sel(analysis="ancova", versus="t").item()
    assert 0 < mcse < 0.5 * math.hypot(*error.values)


@pytest.mark.parametrize("engine", ENGINES)
def test_memory_does_not_grow_with_replicates(engine, monkeypatch):
    """Peak at 16 blocks of trials against 6: no more than six figures a replicate, copies of the truths.

    On one worker: of several, how often their peaks fall together grows with the number of blocks.
    """
    monkeypatch.setattr("gmfmsim.compute.executors.cores", lambda: 1)
    design = normal_design()
    size = operating.block_size(design, 30, {"auto": "sufficient"}.get(engine, engine))
    peaks = []
    for blocks in (6, 16):
        what = truths(design, {"a": [0, 2]}, size * blocks)
        operate(truths(design, {"a": [0, 2]}, 100), design, n=[5], seed=1, engine=engine)  # what is only built once
        tracemalloc.start()
        operate(what, design, n=[30], seed=1, engine=engine)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 6 * 8 * 10 * size
