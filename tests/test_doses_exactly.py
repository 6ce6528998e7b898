"""Exact success of tests along doses: against quadrature of the multivariate t, brute force, and simulated trials."""

import math
from itertools import product

import numpy as np
import pytest
import xarray as xr
from design_cases import arm, figure, normal_design
from scipy import special, stats

import gmfmsim
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.effect import Condition, effect_at
from gmfmsim.model.exact import posterior
from gmfmsim.model.structure import structure
from gmfmsim.model.truths import along_doses, belief, exact_belief_along, known, mixed_belief
from gmfmsim.trial.closed_form import StandardError, claim_power
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact import Assurance, qualifies, smallest, success
from gmfmsim.trial.exact.largest import Points, any_beyond
from gmfmsim.trial.exact.rules import FEW, estimated, gauss, product_rule, sparse
from gmfmsim.trial.exact.statistic import Completed, completed, statistic
from gmfmsim.trial.multiplicity import control_correlation, critical_value, critical_values, rectangle
from gmfmsim.trial.operate import limit
from gmfmsim.trial.simulate import simulate

DOSES = [arm("control"), arm("low", 1e7), arm("high", 5e7)]
FOUR = [arm("low", 1e7), arm("control", ratio=2), arm("middle", 3e7), arm("high", 1e8)]
LINEAR = {"control": 0.0, "low": 0.2, "high": 1.0}


def along(method: str, arms=DOSES, **keys):
    analysis = {"method": method} | ({"candidates": [{"curve": "emax", "ed50": 0.3}]} if method == "mcp_mod" else {})
    return normal_design(arms=arms, analyses=[analysis], **keys)


def at(design, of, n: int, claimed=None) -> float:
    return Assurance(design, design.analyses[0], of, claimed).at(n)


# known answers


@pytest.mark.parametrize("direction", ["above", "below"])
@pytest.mark.parametrize("effect", [-2.0, 0.0, 2.5, 6.0])
@pytest.mark.parametrize(("n", "arms"), [(2, DOSES), pytest.param(15, DOSES, marks=pytest.mark.slow), (30, FOUR)])
def test_known_dunnett_at_fixed_truths_is_the_multivariate_t(n, arms, effect, direction):
    design = along("dunnett", arms)
    names = [a.name for a in design.arms]
    control = names.index("control")
    loading = dict(zip(names, [0.3, 0, 0.8, 1.0] if len(arms) > 3 else [0, 0.4, 1.0], strict=True))
    sizes = np.array(list(design.sizes(n).values()), float)
    correlation, df = control_correlation(sizes, control), sizes.sum() - len(arms)
    others = np.delete(sizes, control)
    shift = np.delete(np.array(list(loading.values())), control) * effect
    shift = shift / (5 * np.sqrt(1 / others + 1 / sizes[control])) * (1 if direction == "above" else -1)
    c = critical_value(correlation, df, 0.025)
    expected = 1 - rectangle(np.full(len(others), -np.inf), np.full(len(others), c), correlation, df, shift)
    found = at(design, along_doses(known(effect), loading), n, (Criterion(0.025, 0.0, direction),))
    assert abs(found - expected) < 1e-6


def test_reference_dunnett_with_known_sd_by_the_bivariate_normal():
    """At very many children against SciPy's multivariate normal distribution."""
    n, effect = 4000, 0.25
    correlation = control_correlation(np.full(3, float(n)))
    shift = np.array([0.4, 1.0]) * effect / (5 * math.sqrt(2 / n))
    c = critical_value(correlation, 3 * n - 3, 0.025)
    expected = 1 - stats.multivariate_normal(shift, correlation, abseps=1e-9).cdf(np.full(2, c))
    found = at(along("dunnett"), along_doses(known(effect), {"control": 0, "low": 0.4, "high": 1}), n)
    assert abs(found - expected) < 2e-4


@pytest.mark.parametrize(("n", "effect"), [(3, 6.0), (20, 3.0)])
def test_known_one_dose_is_the_t_test(n, effect):
    error = StandardError(5 * math.sqrt(2 / n), 2 * n - 2)
    s, weight = estimated(error.df, 3.0)
    rule = special.stdtrit(error.df, 0.975) * s, weight
    units = np.full(rule[0].size, float(n))
    truth = NormalMixture(np.ones(1), np.array([effect / 5]), np.zeros(1))
    found = any_beyond(Points(units[None], units, *rule), np.ones(1), truth, 20.0)
    assert abs(found - claim_power(effect, error)) < 1e-8


@pytest.mark.parametrize("method", ["trend", "mcp_mod"])
def test_known_one_contrast_at_fixed_truths_is_a_non_central_t(method):
    design, n = along(method), 14
    shape = np.array([0.0, 1.0, 2.0]) if method == "trend" else np.array([0.0, 0.2 / 0.5, 1 / 1.3]) * 1.0
    contrast = shape - shape.mean()
    effects = np.array([0.0, 0.2, 1.0]) * 4.0
    error = StandardError(5 * math.sqrt((contrast**2).sum() / n), 3 * n - 3)
    expected = claim_power(float(contrast @ effects), error)
    assert abs(at(design, along_doses(known(4.0), LINEAR), n) - expected) < 1e-8


# mixtures


@pytest.mark.parametrize(
    ("method", "low", "n"),
    [
        ("dunnett", -0.5, 4),
        ("trend", 0.2, 60),
        *(
            pytest.param(method, low, n, marks=pytest.mark.slow)
            for method, low, n in product(("dunnett", "trend"), (0.2, 1.0, -0.5), (4, 60))
        ),
    ],
)
def test_reference_truths_along_a_curve_by_quadrature(method, low, n):
    """A mixture of wide, narrow and certain components, the SD of change uncertain, against fixed truths."""
    children = {"excess_sd": {**figure(5.0), "sigma": 0.15}, "excess_growth": 0, "measurement_error": 0}
    design, loading = along(method, children=children), LINEAR | {"low": low}
    weight, mean, sd = np.array([0.4, 0.3, 0.2, 0.1]), np.array([1.0, 3.0, -1.0, 2.0]), np.array([2.5, 0.5, 0.05, 0.0])
    x, w = np.polynomial.legendre.leggauss(100)
    expected = 0.0
    for share, m, s in zip(weight, mean, sd, strict=True):
        points = m + 8 * s * x if s else np.array([m])
        chance = 8 * w * stats.norm.pdf(8 * x) if s else np.ones(1)
        each = [at(design, along_doses(known(float(p)), loading), n) for p in points]
        expected += share * float(np.dot(chance, each))
    found = at(design, along_doses(belief(weight, mean, sd), loading), n)
    assert abs(found - expected) < 1e-6


def densely(design, left: Completed, effects: np.ndarray) -> float:
    """Return success of Dunnett's test at effects (doses,) in SDs by dense rules of S and of the control mean."""
    z, of_z = np.polynomial.legendre.leggauss(120)
    z, of_z = 9 * z, 9 * of_z * stats.norm.pdf(9 * z)
    correlation, total = control_correlation(np.ones(effects.size + 1)), 0.0
    for (n0, *n), df, weight in zip(left.units.T, left.df, left.weight, strict=True):
        s, of_s = pooled_sd(df)
        limit = critical_values(correlation, np.array([df]), design.alpha / 2) * s
        inside = np.ones((s.size, z.size))
        for units, effect in zip(n, effects, strict=True):
            width = math.sqrt(1 / units + 1 / n0)
            inside *= special.ndtr(((limit * width)[:, None] - effect + z / math.sqrt(n0)) * math.sqrt(units))
        total += weight * float(of_s @ (1 - inside) @ of_z)
    return total


def all_completers(design, n: int) -> Completed:
    """Return every number of completers, at least two in each arm, of binomial laws."""
    each = np.arange(2, n + 1)
    share = stats.binom.pmf(each, n, 1 - design.dropout)
    arms = len(design.arms)
    units = np.stack([x.ravel() for x in np.meshgrid(*[each] * arms, indexing="ij")])
    weight = np.prod([x.ravel() for x in np.meshgrid(*[share] * arms, indexing="ij")], axis=0)
    there = weight > 1e-12
    units, weight = units[:, there].astype(float), weight[there]
    return Completed(units, (1 / units).sum(axis=0), units.sum(axis=0) - arms, weight)


MANY = [arm("control"), arm("low", 1e7), arm("middle", 3e7), arm("high", 1e8)]


@pytest.mark.parametrize(
    ("arms", "dropout", "n"),
    [
        (DOSES, 0.3, 3),
        pytest.param(DOSES, 0.3, 12, marks=pytest.mark.slow),
        (DOSES, 0.08, 9),
        (MANY, 0.1, 120),
        (MANY, 0.3, 300),
        pytest.param(MANY, 0.3, 40, marks=pytest.mark.slow),
    ],
)
def test_reference_completers_by_the_whole_sum(arms, dropout, n):
    """All numbers of completers, or of many children the product of long rules, with an effect that takes them far."""
    design = along("dunnett", arms, children={"dropout": dropout})
    left = all_completers(design, n) if n < FEW else completed(statistic(design, design.analyses[0]), n)
    loading = np.array([0.3, 1.0] if arms is DOSES else [0.2, 0.5, 1.0])
    effect = 3.2 * math.sqrt(2 / n)
    of = along_doses(known(5 * effect), dict(zip((a["name"] for a in arms), (0.0, *loading.tolist()), strict=True)))
    assert abs(at(design, of, n) - densely(design, left, effect * loading)) < 2e-7


@pytest.mark.parametrize("most", [3, 20])
def test_known_a_sparse_rule_has_the_moments_of_independent_laws(most):
    rules = [lambda size, k=k: gauss(np.arange(k) + 0.0, np.ones(k) / k, size) for k in (most, most + 2, most + 5)]
    rows = sparse([2.0, 3.0, 4.0], [most, most + 2, most + 5], 9.0)
    parts = [product_rule([rule(size) for rule, size in zip(rules, row, strict=True)], least=0) for row, _ in rows]
    for powers in ((0, 0, 0), (5, 0, 0), (2, 3, 0), (1, 1, 3), (7, 1, 1)):
        found = sum(
            sign * (weight * np.prod(nodes ** np.array(powers)[:, None], axis=0)).sum()
            for (nodes, weight), (_, sign) in zip(parts, rows, strict=True)
        )
        each = [np.mean(np.arange(k) ** p) for k, p in zip((most, most + 2, most + 5), powers, strict=True)]
        assert abs(found / math.prod(each) - 1) < 1e-10, powers


def test_known_many_curves_of_small_shares_are_their_sum():
    """Of a curve that holds little, less is known: the sum is as exact as that of one curve."""
    design, rng = along("dunnett", FOUR, children={"dropout": 0.1}), np.random.default_rng(1)
    shares = rng.dirichlet(np.full(40, 0.15))
    shares = shares[shares > 1e-9] / shares[shares > 1e-9].sum()
    parts = [
        along_doses(belief(np.ones(1), np.array([m]), np.array([s])), {"low": a, "control": 0, "middle": b, "high": 1})
        for m, s, a, b in zip(
            *rng.uniform([[1], [0.1], [0], [0.2]], [[4], [2], [0.5], [1]], (4, shares.size)), strict=True
        )
    ]
    expected = sum(share * at(design, part, 40) for share, part in zip(shares, parts, strict=True))
    assert abs(at(design, mixed_belief(parts, shares), 40) - expected) < 2e-7


@pytest.mark.parametrize("low", [0.05, -0.4])
def test_known_a_claim_is_as_exact_where_success_no_longer_changes(low):
    """Of very many children success is 1 or 0 but for a narrow part of the truths, wherever the grid ends."""
    of = belief(np.array([0.7, 0.3]), np.array([1.0, -2.0]), np.array([1.5, 0.02]))
    x, w = np.polynomial.legendre.leggauss(600)
    total = 0.0
    for share, mean, sd in zip(of.weight, of.mean, of.sd, strict=True):
        each = Points(*(np.full(shape, 2000.0) for shape in ((2, 1), 1)), np.full(1, 2.2), np.ones(1))
        points = np.unique(np.clip(mean + 7 * sd * x, -1e3, 1e3))
        truth = NormalMixture(7 * w * stats.norm.pdf(7 * x) * share, points / 5, np.zeros(points.size))
        total += any_beyond(each, np.array([low, 1.0]), truth, 22.0)
    mixture = NormalMixture(of.weight, of.mean / 5, of.sd / 5)
    assert abs(any_beyond(each, np.array([low, 1.0]), mixture, 16.0) - total) < 2e-7


def test_known_curves_are_mixed_by_their_shares():
    design = along("dunnett", children={"dropout": 0.1})
    parts = [along_doses(belief(np.ones(1), np.array([m]), np.ones(1)), of) for m, of in ((2.0, LINEAR), (3.0, LINEAR))]
    other = along_doses(known(4.0), {"control": 0, "low": 0.9, "high": 1})
    mixed = mixed_belief([*parts, other], [0.3, 0.2, 0.5])
    expected = sum(s * at(design, p, 20) for s, p in zip((0.3, 0.2, 0.5), [*parts, other], strict=True))
    assert abs(at(design, mixed, 20) - expected) < 1e-8
    with pytest.raises(ValueError, match="all arms"):
        at(design, known(2.0), 20)


@pytest.mark.parametrize("name", ["loglinear", "emax"])
def test_known_the_effects_of_all_arms_follow_from_the_posterior(name):
    """Every arm has the effect that the posterior gives for its dose alone, and the active one the usual belief."""
    tables = read_tables()
    cord_blood = Selection(default_use=["primary"], cell_class=["TNC_MNC"], route=["IV", "IV/IA"])
    data = read_contrasts(select_contrasts(tables, cord_blood), tables, "as_tabled")
    spec = read_model(ModelChoice(name=name))
    exact, arms = (
        posterior(structure(spec, data)),
        {"none": Condition(0.0), "low": Condition(1e7), "high": Condition(1e8)},
    )
    for of in ("mean", "new_study"):
        found = exact_belief_along(exact, spec.shape, arms, "high", of)
        weight, mean, sd = found.weight, found.mean, found.sd
        for arm_name, at_dose in arms.items():
            loading, alone = found.loading[:, found.arms.index(arm_name)], effect_at(exact, spec.shape, at_dose, of)
            for x in (-1.0, 0.3, 2.0) if at_dose.dose else ():
                assert (
                    abs((weight * special.ndtr((x - loading * mean) / (abs(loading) * sd))).sum() - alone.cdf(x)) < 1e-7
                )
            assert at_dose.dose or not loading.any()
    with pytest.raises(ValueError, match="effect"):
        exact_belief_along(exact, spec.shape, arms, "none")


# simulated trials


CASES = {
    "dunnett": (along("dunnett", children={"dropout": 0.2}), (4, 30)),
    "dunnett, four arms": (along("dunnett", FOUR, children={"dropout": 0.3}), (4, 25)),
    "closed dunnett": (along("closed_dunnett", visits=[6, 12], onset=[0.5, 0.8], children={"dropout": 0.1}), (20,)),
    "trend": (along("trend", FOUR, children={"dropout": 0.3}), (4, 25)),
    "dunnett, few children": (along("dunnett", FOUR, children={"dropout": 0.3}), (3,)),
    "trend, few children": (along("trend", FOUR, children={"dropout": 0.3}), (4,)),
    "mcp_mod": (along("mcp_mod", children={"dropout": 0.1, "excess_sd": {**figure(5.0), "sigma": 0.3}}), (5, 25)),
}


WHOLE = ("dunnett", "dunnett, four arms", "trend")
"""Cases of many children, where success is averaged over hundreds of numbers of completers: on the slow shelf."""


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in WHOLE else c for c in CASES])
def test_reference_simulated_trials(case):
    """Within 4 Monte Carlo errors at every n: success and harm, no effect, and one along a curve."""
    (design, sizes), replicates = CASES[case], 20_000
    loading = {a.name: (a.dose / design.active.dose) ** 0.5 for a in design.arms}
    for effect in (0.0, 3.0, -2.0):
        truths = fixed_truths(design, 1.0, replicates, seed=5)
        each = xr.DataArray([effect * m for m in loading.values()], dims="arm")
        truths["effect"] = (truths["effect"] * 0 + each).transpose("scenario", "draw", "arm")
        found = simulate(truths, design, n=sizes, seed=6).isel(scenario=0, analysis=0)
        of = along_doses(known(effect), loading)
        for n in sizes:
            for name, claimed in (("success", None), ("harm", (Criterion(0.025, 0.0, "below"),))):
                p = at(design, of, n, claimed)
                error = math.sqrt(max(p * (1 - p), 1 / replicates) / replicates)
                assert abs(found[name].sel(n=n).item() - p) < 4 * error, (effect, n, name)
        truth = truths["effect"].transpose("scenario", "arm", "draw").values[0, :, :1]
        assert abs(Assurance(design, design.analyses[0], of).plateau() - limit(design, truth, 1)[0]) < 1e-12


def test_required_n_along_doses():
    design, of = (
        along("dunnett", FOUR, children={"dropout": 0.1}),
        along_doses(
            belief(np.ones(1), np.array([3.0]), np.array([1.5])), {"low": 0.1, "control": 0, "middle": 0.3, "high": 1}
        ),
    )
    exact = Assurance(design, design.analyses[0], of)
    n = smallest(exact, 0.8)
    assert exact.at(n - 1) < 0.8 <= exact.at(n)
    assert abs(exact.rough(n) - 0.8) < 0.03
    assert abs(exact.plateau() - special.ndtr(2.0)) < 1e-9
    assert abs(exact.at(200_000) - exact.plateau()) < 5e-3
    assert success(design, design.analyses[0], of, n=[n]).item() == exact.at(n)


def test_what_is_refused_along_doses():
    design = along("dunnett")
    assert "says nothing of the others" in qualifies(design, design.analyses[0])
    assert qualifies(design, design.analyses[0], joint=True) is None
    several = normal_design(
        arms=DOSES,
        analyses=[{"method": "mcp_mod", "candidates": [{"curve": "linear"}, {"curve": "emax", "ed50": 0.3}]}],
    )
    assert "several contrasts" in qualifies(several, several.analyses[0], joint=True)
    with pytest.raises(ValueError, match="one criterion"):
        at(design, along_doses(known(2.0), LINEAR), 20, (Criterion(0.025, 1.0, "above"),))
    with pytest.raises(ValueError, match="all arms"):
        at(design, along_doses(known(2.0), {"a": 0.0, "b": 1.0, "c": 1.0}), 20)
    with pytest.raises(ValueError, match="loading"):
        along_doses(known(2.0), {"control": 0.0, "low": math.nan, "high": 1.0})


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("random_effects", "trend"),
        pytest.param("emax", "trend", marks=pytest.mark.slow),
        ("loglinear", "dunnett"),
        pytest.param("emax", "closed_dunnett", marks=pytest.mark.slow),
    ],
)
def test_a_plan_along_doses_is_sized_exactly_and_held_to_simulated_trials(tmp_path, model, method, blank_figures):
    """Of a test of three arms: n has no interval, the gate compares both ways, and a dose moved moves n."""
    table = tmp_path / "own.csv"
    table.write_text(
        "study,arm,dose,n,mean,sd,month,scale\n"
        + "".join(
            f"{s},cells,{dose} cells/kg,40,{m},5.5,12,GMFM-66\n{s},control,0,40,2.5,5.5,12,GMFM-66\n"
            for s, dose, m in (("A", "3e7", 5.6), ("B", "6e7", 6.4), ("C", "9e7", 6.1))
        ),
        encoding="utf-8",
    )
    arms = [{"name": n, "dose": f"{d} cells/kg"} for n, d in (("control", 0), ("low", "2e7"), ("high", "8e7"))]
    plan = {
        "question": "How many for a trend?",
        "seed": 1,
        "evidence": {"tables": str(table), "select": {"default_use": "primary"}},
        "model": {"name": model},
        "sampler": {"cross_check": False, "draws": 1000},
        "trial": {"design": "parallel", "arms": arms, "dropout": 0.1, "analyses": [{"method": method}]},
        "search": {"target": {"metric": "assurance", "value": 0.6}, "planning_value": 1.42, "replicates": 4000},
        "sensitivity": {"changed": ["dropout"]},
    }
    found = gmfmsim.run(plan, tmp_path / "r").answer
    assert found["n_interval"] is None
    assert found["plateau_mcse"] is None
    (row,) = found["trial_gate"]
    assert row["passed"]
    assert gmfmsim.size(plan)["n_total"] == found["n_total"]
    assert found["sensitivity"][0]["n_total"] != found["n_total"]
