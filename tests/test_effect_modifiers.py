"""Age and GMFCS level as effect modifiers, where most trials do not print the mean of their children."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from scipy.stats import halfnorm, multivariate_normal, norm

from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.covariates import (
    AGE_IN_RANGE,
    AGE_OF_FIELD,
    CLAIMED_AGES,
    LEVEL_IN_RANGE,
    SHAPE_OF_AGES,
    mean_age,
    mean_level,
    share_of_ages,
)
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.engine import fit
from gmfmsim.model.exact import fit_exact
from gmfmsim.model.nuts import Sampler, build
from gmfmsim.model.setting import Setting, reach, reach_words
from gmfmsim.model.structure import structure
from gmfmsim.streams import stream

TRIALS = ("rct_parallel", "rct_crossover", "nonrandomised", "single_arm", "twin")


@pytest.fixture(scope="module")
def tables():
    return read_tables()


def model(*terms: str, slope: float = 1.0, tau: float = 2.0) -> ModelSpec:
    """One mean of sd 10, tau half-normal, and slopes."""
    priors = {"mu": ("normal", 10.0), "tau": ("half_normal", tau)} | {f"{t}_slope": ("normal", slope) for t in terms}
    told = {"unit": "points", "reason": "for this test"}
    said = {n: {"dist": d, "sd": sd} | ({"mean": 0.0} if d == "normal" else {}) | told for n, (d, sd) in priors.items()}
    said["r"] = {"dist": "uniform", "lower": 0.3, "upper": 1.0} | told
    return ModelSpec.model_validate({"title": "t", "curve": "constant", "terms": list(terms), "priors": said})


# what is known of the means of children


def study(low=None, mean=None, high=None) -> dict:
    return {"age_min_y": low, "age_mean_y": mean, "age_max_y": high}


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        (study(2, 4.3, 10), (4.3, 0.0, "printed")),
        (study(2, None, 12), (5.8, 1.2, "ages 2 to 12")),
        (study(None, None, 3.5), (1.33, 0.42, "ages 0 to 3.5")),
        (study(2, None, None), (5.0, 2.0, "other studies")),
        (study(), (5.0, 2.0, "other studies")),
    ],
)
def test_known_mean_ages(row, wanted):
    found = mean_age(row)
    assert found[:2] == pytest.approx(wanted[:2], rel=1e-12)
    assert found.told == wanted[2]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I 17, II 24, III 8, IV 14", (145 / 63, 0, "counted")),
        ("I-IV", (2.5, 0.6, "levels I to IV")),
        ("I-IV by eligibility", (2.5, 0.6, "levels I to IV")),
        ("severe", (4.5, 0.2, "levels IV to V")),
        ("non-severe", (2, 0.4, "levels I to III")),
        ("severe (title); I-V (review)", (3, 0.8, "levels I to V")),
        ("III-V; severe", (4, 0.4, "levels III to V")),
        *((text, (3, 0.8, "not told: levels I to V")) for text in (None, "", "spastic", "V 62.5%", "V-I", "I-IV; ?")),
    ],
)
def test_known_levels(text, wanted):
    found = mean_level(text)
    assert found[:2] == pytest.approx(wanted[:2], rel=1e-12)
    assert found.told == wanted[2]


@given(st.text(st.sampled_from("IV-; 0123,severnoy()"), max_size=20))
def test_any_text_gives_levels_from_one_to_five(text):
    found = mean_level(text)
    assert 1 <= found.mean - 2.5 * found.sd <= found.mean + 2.5 * found.sd <= 5


def predicted(values) -> tuple[float, float]:
    """Return mean and SD of one more value: t(n - 1) of scale s sqrt(1 + 1/n), SD that times sqrt(df/(df - 2))."""
    n = len(values)
    return np.mean(values), np.std(values, ddof=1) * np.sqrt((1 + 1 / n) * (n - 1) / (n - 3))


def test_what_stands_for_ages_not_printed_follows_from_the_tables(tables):
    printed = [s for s in tables.rows["studies"] if s["design"] in TRIALS and s["age_mean_y"] is not None]
    ranged = [s for s in printed if s["age_min_y"] is not None and s["age_max_y"] is not None]
    assert (len(printed), len(ranged)) == (7, 5)
    shares = [(s["age_mean_y"] - s["age_min_y"]) / (s["age_max_y"] - s["age_min_y"]) for s in ranged]
    assert AGE_IN_RANGE[:2] == pytest.approx(predicted(shares), abs=0.005)
    assert AGE_OF_FIELD[:2] == pytest.approx(predicted([s["age_mean_y"] for s in printed]), abs=0.05)
    # the two medians that notes tell lie where a mean is looked for
    for low, median, high in ((1.1, 2.3, 7.0), (2, 3 + 7 / 12, 5)):
        assert abs((median - low) / (high - low) - AGE_IN_RANGE.mean) < 2 * AGE_IN_RANGE.sd


def test_what_stands_for_levels_not_counted_holds_the_two_that_are(tables):
    for name, low, high in (("Sun2017", 1, 4), ("Min2020", 1, 5)):
        share = (mean_level(tables.studies[name]["gmfcs"]).mean - low) / (high - low)
        assert abs(share - LEVEL_IN_RANGE.mean) < LEVEL_IN_RANGE.sd


def test_a_flat_file_with_ages_tells_the_mean_age(tmp_path):
    text = "study,arm,dose,n,mean,sd,age_y\nA,cells,1e7 cells/kg,30,5,6,4\nA,none,0,10,1,6,6\nB,cells,1e7 cells/kg,9,5,"
    (tmp_path / "own.csv").write_text(text + "6,7\nB,none,0,9,1,6,\n", encoding="utf-8")
    data = select_contrasts(read_tables(tmp_path / "own.csv"), Selection(default_use="primary"))
    assert data["age"].values.tolist() == [4.5, AGE_OF_FIELD.mean]  # 30 children of 4 years and 10 of 6; one not told
    assert data["age_sd"].values.tolist() == [0.0, AGE_OF_FIELD.sd]


# the posterior


def evidence(effect, se, **covariates):
    return contrasts_from_arrays(np.array(effect, float), np.array(se, float) ** 2, covariates=covariates)


def test_known_covariates_leave_the_slope_linear_and_the_same():
    """With next to no SD the slope is a parameter of the quadrature, and the posterior is that of the coefficient."""
    rng = np.random.default_rng(3)
    effect, se, age, gmfcs = rng.normal(2, 2, 9), rng.uniform(0.7, 2, 9), rng.uniform(2, 8, 9), rng.uniform(1, 5, 9)
    spec = model("age", "gmfcs")
    known = fit_exact(spec, evidence(effect, se, age=age, gmfcs=gmfcs, age_sd=np.zeros(9)))
    nearly = fit_exact(
        spec, evidence(effect, se, age=age, gmfcs=gmfcs, age_sd=np.full(9, 1e-8), gmfcs_sd=np.full(9, 1e-8))
    )
    assert (known.prepared.names, nearly.prepared.names) == (("tau",), ("tau", "age_slope", "gmfcs_slope"))
    assert nearly.log_marginal == pytest.approx(known.log_marginal, abs=1e-6)
    for name in spec.parameters[:-1]:
        assert nearly.moments(name) == pytest.approx(known.moments(name), abs=1e-5), name
    for loading in ([1, 3, -1], [1, -2, 0.5]):
        one, other = (fitted.linear(np.array(loading, float), 1.0) for fitted in (known, nearly))
        assert [other.mean, other.sd, other.above(2)] == pytest.approx([one.mean, one.sd, one.above(2)], abs=1e-5)


SMALL = {
    "effect": [1.0, 3.2, -0.4, 4.5, 2.2],
    "se": [0.9, 1.1, 0.8, 1.4, 0.8],
    "age": [3.0, 6.0, 4.3, 8.0, 2.5],
    "age_sd": [0.7, 1.2, 0.0, 2.3, 0.4],
}


def test_reference_dense_quadrature():
    """tau and slope on dense grids, mu by hand; SciPy's densities: mean mu + slope (m - 4), variance se^2 + tau^2 +
    slope^2 s^2."""
    y, se, m, s = (np.array(SMALL[name]) for name in ("effect", "se", "age", "age_sd"))
    exact = fit_exact(model("age"), evidence(y, se, age=m, age_sd=s))
    x, w = leggauss(160)
    tau, slope = 8 * (x + 1), 7 * x
    grid_tau, grid_slope = (g.ravel() for g in np.meshgrid(tau, slope, indexing="ij"))
    weight = np.outer(8 * w * halfnorm.pdf(tau, scale=2), 7 * w * norm.pdf(slope)).ravel()
    variance = se**2 + grid_tau[:, None] ** 2 + (grid_slope[:, None] * s) ** 2
    shifted = y - grid_slope[:, None] * (m - 4)
    precision = 0.01 + (1 / variance).sum(axis=1)
    mean = (shifted / variance).sum(axis=1) / precision
    log_p = norm.logpdf(shifted, 0, np.sqrt(variance)).sum(axis=1)
    p = weight * np.exp(log_p + 0.5 * (mean**2 * precision - np.log(100 * precision)))
    total = p.sum()
    p /= total
    assert exact.log_marginal == pytest.approx(np.log(total), abs=1e-6)

    def moments(value, variance=0.0):
        centre = p @ value
        return centre, np.sqrt(p @ (variance + value**2) - centre**2)

    assert exact.moments("tau") == pytest.approx(moments(grid_tau), abs=1e-6)
    assert exact.moments("age_slope") == pytest.approx(moments(grid_slope), abs=1e-6)
    assert exact.moments("mu") == pytest.approx(moments(mean, 1 / precision), abs=1e-6)
    at_nine = exact.linear(np.array([1.0, 5.0]))  # the mean of studies of children of 9 years
    assert (at_nine.mean, at_nine.sd) == pytest.approx(moments(mean + 5 * grid_slope, 1 / precision), abs=1e-6)
    above = p @ norm.sf(0, mean + 5 * grid_slope, 1 / np.sqrt(precision))
    assert at_nine.above(0) == pytest.approx(above, abs=1e-6)


def test_draws_are_those_of_the_mixture():
    exact = fit_exact(model("age"), evidence(**SMALL))
    rng = stream(1, "draws of a slope")
    phi, values = exact.draws(rng.random((40_000, 3)), rng.standard_normal((40_000, 2)))
    assert (values[:, 1] == 1).all()
    at_nine, drawn = exact.linear(np.array([1.0, 5.0])), values[:, 0] + 5 * phi["age_slope"]
    assert drawn.mean() == pytest.approx(at_nine.mean, abs=4 * at_nine.sd / 200)
    assert drawn.std() == pytest.approx(at_nine.sd, rel=0.02)
    assert (drawn > 0).mean() == pytest.approx(at_nine.above(0), abs=0.01)


def test_known_density_of_pymc():
    """The graph that is sampled has SciPy's density: arms of one study share the deviation by their age."""
    from pymc import logp as density

    data = contrasts_from_arrays(
        SMALL["effect"],
        np.array(SMALL["se"]) ** 2,
        study=list("aabcd"),
        covariates={"age": [3.0, 3, 4, 8, 2], "age_sd": [0.7, 0.7, 0, 2, 0.4], "gmfcs": [2.0] * 5},
    )
    graph = build(model("age", "gmfcs"), data)
    assert {v.name for v in graph.free_RVs} == {"mu", "tau", "age_slope", "gmfcs_slope"}  # a known level is linear
    y = density(graph["y"], np.array(SMALL["effect"]))
    for mu, tau, slope, level in ((2.0, 1.0, -0.5, 0.3), (-1.0, 0.2, 1.5, -2.0)):
        given_ = {"mu": mu, "tau": tau, "age_slope": slope, "gmfcs_slope": level}
        found = y.eval({graph[name]: value for name, value in given_.items()}, mode="FAST_COMPILE")
        of_age = np.array([0.7, 0.7, 0, 2, 0.4]) * slope
        same = np.equal.outer(list("aabcd"), list("aabcd"))
        covariance = np.diag(np.array(SMALL["se"]) ** 2) + same * (tau**2 + np.outer(of_age, of_age))
        mean = mu + slope * (np.array([3.0, 3, 4, 8, 2]) - 4) - level
        assert found == pytest.approx(multivariate_normal.logpdf(SMALL["effect"], mean, covariance), abs=1e-9)


PLANTED = {"mu": 2.0, "tau": 1.0, "slope": -0.6}


def planted(seed: int, studies: int = 30):
    """Studies whose true mean ages are known for a third of them, and for the others as m + s e."""
    rng = stream(seed, "planted slope")
    told, sd = rng.uniform(2, 9, studies), np.where(np.arange(studies) % 3 == 0, 0.0, rng.uniform(0.5, 2.5, studies))
    age = told + sd * rng.standard_normal(studies)
    theta = PLANTED["mu"] + PLANTED["slope"] * (age - 4) + PLANTED["tau"] * rng.standard_normal(studies)
    se = rng.uniform(0.4, 1.0, studies)
    return evidence(theta + se * rng.standard_normal(studies), se, age=told, age_sd=sd)


@pytest.mark.parametrize("size", [30, pytest.param(600, marks=pytest.mark.slow)])
def test_recovery_of_a_slope_with_ages_not_printed(size):
    """Under a prior that says next to nothing: means without bias, and intervals that cover as they claim."""
    spec, found, covered = model("age", slope=5.0, tau=5.0), [], []
    for seed in range(size):
        exact = fit_exact(spec, planted(seed))
        found.append((exact.moments("age_slope")[0], exact.moments("mu")[0]))
        covered.append(0.025 < exact.parameter("age_slope").cdf(PLANTED["slope"]) < 0.975)
    error = np.array(found) - [PLANTED["slope"], PLANTED["mu"]]
    assert (np.abs(error.mean(axis=0)) < 4 * error.std(axis=0) / np.sqrt(size)).all()
    assert abs(np.mean(covered) - 0.95) < 3 * np.sqrt(0.95 * 0.05 / size)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["age", "gmfcs", "claimed_age"])
def test_both_engines_agree_on_the_shipped_contrasts(tables, name):
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "average")
    found = fit(read_model(ModelChoice(name=name)), data, Sampler(), 20261130)
    assert found.passed
    assert {row["name"] for row in found.compared} == {"mu", "tau", f"{name}_slope", "r"}


def test_structure_of_the_shipped_contrasts(tables):
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "as_tabled")
    found = structure(read_model(ModelChoice(name="age")), data)
    assert tuple(found.parameters) == ("tau", "age_slope", "r")
    assert [level.name for level in found.levels] == ["study", "age"]
    unknown = found.loads({"tau": 0.0, "age_slope": -0.5, "r": 0.5})[1]
    np.testing.assert_allclose(unknown, -0.5 * data["age_sd"].values / np.where(data["gmfm66"].values, 1, 0.5))


# the ages of which a clinic claims most


@pytest.mark.parametrize(
    ("row", "share"),
    [
        (study(3, 5, 10), 1.0),
        (study(1, 5, 9), (0.5 + 1) / 2),
        (study(4, 10, 16), 0.5),
        (study(12, 13, 14), 0.0),
        (study(5, 5, 5), 1.0),
        (study(None, 6, None), norm.cdf(4 / 2.7) - norm.cdf(-3 / 2.7)),
    ],
)
def test_known_shares_of_the_claimed_ages(row, share):
    found = share_of_ages(row)
    assert found.mean == pytest.approx(share, abs=1e-12)
    assert found.sd == pytest.approx(SHAPE_OF_AGES, abs=1e-12)  # the mean age is printed


def test_a_mean_age_that_is_not_printed_makes_the_share_less_sure():
    """Of 1 to 9 years, mean 4.04 +- 0.96: of the lower half 1.04/3.04, 2/4 and 0.08/2.08 are above 3."""
    found = share_of_ages(study(1, None, 9))
    assert found.mean == pytest.approx((1.04 / 3.04 + 1) / 2, abs=1e-12)
    assert found.sd == pytest.approx(np.hypot((0.5 - 0.08 / 2.08) / 4, SHAPE_OF_AGES), abs=1e-12)


def test_the_claimed_ages_are_those_of_the_claim(tables):
    (claim,) = [row for row in tables.rows["claims"] if row["claim_id"] == "C09"]
    assert (claim["low"], claim["high"]) == CLAIMED_AGES


def test_what_a_plan_says_of_a_slope(tables):
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "as_tabled")
    found = reach(data, "age")
    assert found == (pytest.approx(3.14), pytest.approx(7.91), 3, 6, 0)
    words = reach_words(data, "age", Setting(age=12.0))
    assert "trials from 3.1 to 7.9 (printed by 3, within ends that are printed by 6)" in words
    assert "12, lies outside" in words
    assert "outside" not in reach_words(data, "age", Setting(age=5.0))
    assert "(printed by 1, within ends that are printed by 5, not told by 3)" in reach_words(data, "gmfcs", Setting())
