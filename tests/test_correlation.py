"""How alike children of a pair, a cluster or a centre are: the law of it from reports, and trials that integrate it."""

import json
import math

import numpy as np
import pytest
from damage import command
from design_cases import SOURCE, figure, normal_design
from pydantic import ValidationError
from scipy import integrate, stats

from gmfmsim.answer.assumptions import Assumed, cases_of
from gmfmsim.answer.limits import limits
from gmfmsim.dist.distributions import Beta
from gmfmsim.dist.sample_correlation import above, critical, density
from gmfmsim.evidence.correlations import FILE, correlations
from gmfmsim.faults import InputError
from gmfmsim.model.correlation import PairCorrelation, icc_law, nearest_beta, pair_correlation
from gmfmsim.model.truths import known
from gmfmsim.question.question import question_of_design
from gmfmsim.report.correlation import within_units
from gmfmsim.streams import stream
from gmfmsim.trial.change_sd import change_sd
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.exact import Assurance, smallest, surface
from gmfmsim.trial.generate.children import draw_trials
from gmfmsim.trial.nuisance import settings
from gmfmsim.trial.operate import operate
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.sourced import share_law

REPORTS = {row["report"]: row for row in correlations()}
WANG = REPORTS["Wang2015"]
POSTERIOR = pair_correlation([WANG])
TWINS = figure(0.743, sd=0.207)
CLASSES = figure(0.0738, sd=0.0645)
LIMIT = critical(8, 0.05)


def gaps(rng: np.random.Generator, rho: np.ndarray | float, pairs: int) -> np.ndarray:
    """The sample correlations of sets of normal pairs, one for each rho."""
    x, z = rng.standard_normal((2, np.size(rho), pairs))
    y = np.reshape(rho, (-1, 1)) * x + np.sqrt(1 - np.reshape(rho, (-1, 1)) ** 2) * z
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    return (x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))


# the correlation of a sample


@pytest.mark.parametrize("pairs", [4, 8, 25])
@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.4, 0.95])
def test_reference_the_density_is_fishers_integral(pairs, rho):
    """(n - 2) / pi (1 - rho^2)^((n-1)/2) (1 - r^2)^((n-4)/2) int_0^inf (cosh w - rho r)^-(n-1) dw (Fisher 1915)."""
    for r in (-0.7, 0.1, 0.85):
        inner = integrate.quad(lambda w, r=r: (math.cosh(w) - rho * r) ** (1 - pairs), 0, 60, epsabs=0, limit=200)[0]
        front = (pairs - 2) / math.pi * (1 - rho**2) ** ((pairs - 1) / 2) * (1 - r**2) ** ((pairs - 4) / 2)
        assert float(density(r, rho, pairs)) == pytest.approx(front * inner, rel=1e-8)


def test_known_without_a_correlation_t_has_its_law():
    """r sqrt((n - 2) / (1 - r^2)) is Student's t with n - 2 degrees of freedom."""
    assert pytest.approx(0.7067, abs=5e-5) == LIMIT
    for pairs, alpha in ((4, 0.1), (8, 0.05), (40, 0.01)):
        limit = critical(pairs, alpha)
        assert float(above(limit, 0.0, pairs)) == pytest.approx(alpha / 2, rel=1e-10)
        assert 1 - float(above(-limit, 0.0, pairs)) == pytest.approx(alpha / 2, rel=1e-8)


@pytest.mark.parametrize("rho", [0.3, 0.8, 0.999])
def test_reference_the_tail_is_that_of_simulated_pairs(rho):
    seen = gaps(stream(1, "pairs", round(1000 * rho)), np.full(100_000, rho), 8) > LIMIT
    p = float(above(LIMIT, rho, 8))
    assert abs(seen.mean() - p) < 4 * math.sqrt(p * (1 - p) / seen.size) + 1e-12


def test_few_pairs_have_no_bounded_density():
    with pytest.raises(ValueError, match="4 or more"):
        density(0.1, 0.2, 3)


# the posterior of pairs


def test_known_of_no_report_there_is_the_prior():
    prior = pair_correlation([])
    assert prior.moments == pytest.approx((0.5, 1 / math.sqrt(12)), abs=1e-6)
    assert prior.quantile(0.025) == pytest.approx(0.025)


def test_reference_the_posterior_equals_adaptive_quadrature():
    def tail(rho: float) -> float:
        return integrate.quad(lambda r: float(density(r, rho, 8)), LIMIT, 1, epsabs=1e-10)[0]

    total, first, second = (integrate.quad(lambda x, k=k: x**k * tail(x), 0, 1, epsabs=1e-8)[0] for k in (0, 1, 2))
    mean, sd = POSTERIOR.moments
    assert mean == pytest.approx(first / total, abs=1e-6)
    assert sd == pytest.approx(math.sqrt(second / total - (first / total) ** 2), abs=1e-6)
    for p in (0.025, 0.5, 0.975):
        below = integrate.quad(tail, 0, POSTERIOR.quantile(p), epsabs=1e-8)[0] / total
        assert below == pytest.approx(p, abs=1e-5)
        assert POSTERIOR.below(POSTERIOR.quantile(p)) == pytest.approx(p, abs=1e-12)


def test_reference_the_posterior_is_what_is_left_of_the_prior_where_eight_pairs_are_significant():
    rng = stream(2, "significant")
    rho = rng.random(200_000)
    left = rho[gaps(rng, rho, 8) > LIMIT]
    for p in (0.025, 0.25, 0.5, 0.75, 0.975):
        assert abs((left < POSTERIOR.quantile(p)).mean() - p) < 4 * math.sqrt(p * (1 - p) / left.size)


def test_recovery_of_planted_correlations():
    """Of correlations from the prior the posterior of a coefficient of eight pairs holds each by its probabilities."""
    rng = stream(3, "coefficients")
    rho = rng.random(400)
    seen = gaps(rng, rho, 8)
    ranks = [
        pair_correlation([WANG | {"shows": "coefficient", "middle": float(r)}]).below(float(truth))
        for r, truth in zip(seen, rho, strict=True)
    ]
    assert stats.kstest(ranks, "uniform").pvalue > 0.001
    many = pair_correlation([WANG | {"shows": "coefficient", "number": 4000, "middle": 0.6}])
    assert many.moments == pytest.approx((0.6, (1 - 0.36) / math.sqrt(4000)), abs=5e-4)


def test_a_report_without_a_likelihood_is_refused():
    with pytest.raises(ValueError, match="must be a coefficient, or that it is significant"):
        pair_correlation([REPORTS["Yelland2018"]])


# laws of intraclass correlations


@pytest.mark.parametrize(("a", "b"), [(0.7, 11.0), (1.1, 14.0), (3.0, 2.0)])
def test_known_a_beta_law_is_found_by_its_quartiles(a, b):
    found = nearest_beta(stats.beta.ppf([0.25, 0.5, 0.75], a, b).tolist())
    assert (found.a, found.b) == pytest.approx((a, b), rel=1e-5)


def test_the_laws_stand_near_the_quartiles_that_the_survey_prints():
    for report in ("Parker2023class", "Parker2023school"):
        row = REPORTS[report]
        shares = stats.beta.cdf([row["low"], row["middle"], row["high"]], *_ab(icc_law(row)))
        assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.05)


def _ab(law: Beta) -> tuple[float, float]:
    return law.a, law.b


@pytest.mark.parametrize("quartiles", [[0.0, 0.1, 0.2], [0.1, 0.1, 0.2], [0.1, 0.2, 1.0]])
def test_quartiles_that_do_not_rise_are_refused(quartiles):
    with pytest.raises(ValueError, match="must rise"):
        nearest_beta(quartiles)


# what is shown, and what the shipped designs take


def test_the_shipped_designs_take_mean_and_sd_of_the_laws():
    found = within_units()
    shipped = {
        "pair": read_design("next_twins").pair_correlation,
        "therapist": read_design("next_cluster").icc,
        "centre": read_design("next_centres").children.centres,
    }
    for unit, figures in shipped.items():
        law = found[unit]["law"]
        taken = (figures.icc, figures.icc_sd) if unit == "centre" else (figures.value, figures.sd)
        assert taken == tuple(float(f"{law[name]:.3g}") for name in ("mean", "sd")), unit


def test_the_beta_law_stands_for_the_posterior_of_pairs():
    """Probabilities within 0.03; what a trial of 25 pairs shows within half a per cent."""
    at = np.linspace(0.01, 0.99, 99)
    beta = share_law(*POSTERIOR.moments)
    assert max(abs(stats.beta.cdf(x, *_ab(beta)) - POSTERIOR.below(x)) for x in at) < 0.03
    design = normal_design("pairs", pair_correlation=TWINS)
    cells = PairCorrelation(POSTERIOR.weight).weight.reshape(50, 20).sum(axis=1)
    middle = (np.arange(50) + 0.5) / 50
    exact = sum(w * _success(design.correlated(float(r)), 25) for r, w in zip(middle, cells, strict=True))
    assert abs(_success(design, 25) - exact) < 0.005


def test_the_command_names_every_report_and_says_what_the_laws_do_not(monkeypatch, capsys):
    assert command(monkeypatch, "show", "correlation") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "median 0.8 (95% 0.21 to 0.99); mean 0.743, SD 0.207" in text
    assert all(row["citation"].split(":")[0] in text for row in REPORTS.values())
    assert "Both twins had cells" in text
    assert text.count("No trial in cerebral palsy was found that reports one") == 2
    assert command(monkeypatch, "show", "correlation", "--json") == 0
    assert json.loads(capsys.readouterr().out)["pair"]["law"]["median"] == pytest.approx(POSTERIOR.quantile(0.5))


def test_a_faulty_file_is_refused_with_row_and_column(tmp_path):
    path = tmp_path / "correlations.csv"
    text = FILE.read_text(encoding="utf-8")
    path.write_text(text.replace(",quartiles,,0.024,", ",quartiles,,0.24,").replace(",8,significant", ",8,strong"))
    with pytest.raises(InputError) as refusal:
        correlations(path)
    assert {fault.where for fault in refusal.value.faults} == {"row 2, column shows", "row 5, column low"}


# a law in a design


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({"value": 1.0}, "a correlation from 0 to below 1"),
        ({"value": -0.1}, "a correlation from 0 to below 1"),
        ({"value": 0.0, "sd": 0.1}, "between 0 and 1 beside its SD"),
        ({"value": 0.5, "sd": 0.5}, "an SD of at most 0.456 for a figure of 0.5"),
        ({"value": 0.5, "sd": -0.1}, "greater than or equal to 0"),
    ],
)
def test_a_law_that_cannot_be_is_refused(said, allowed):
    with pytest.raises(ValidationError, match=allowed):
        normal_design("pairs", pair_correlation=said | SOURCE)


@pytest.mark.parametrize("said", [{}, {"sd": 1.0, "icc": 0.1}, {"sd": 1.0, "icc_sd": 0.1}, {"icc": 0.1, "icc_sd": 0.9}])
def test_centres_have_an_sd_or_an_icc(said):
    with pytest.raises(ValidationError, match="centres"):
        normal_design("parallel", children={"centres": {"number": 4} | said | SOURCE})


def test_known_moments_of_a_law():
    law = share_law(0.3, 0.1)
    assert stats.beta.stats(*_ab(law)) == pytest.approx((0.3, 0.01))
    assert law.moments == pytest.approx((0.3, 0.1))


# exactly


def _success(design, n: int, effect: float = 2.0) -> float:
    return Assurance(design, design.analyses[0], known(effect)).at(n)


UNCERTAIN = figure(5.0, sigma=0.3)
LAWS = {
    "pairs": normal_design("pairs", pair_correlation=TWINS, children={"excess_sd": UNCERTAIN, "dropout": 0.1}),
    "pairs without error": normal_design("pairs", pair_correlation=TWINS, children={"measurement_error": 0}),
    "pairs that respond": normal_design("pairs", pair_correlation=TWINS, children={"response_sd": 3}),
    "pairs, equivalence": normal_design(
        "pairs", pair_correlation=TWINS, objective={"claim": "equivalence", "margin": 4}
    ),
    "clusters": normal_design("cluster", icc=CLASSES, children={"excess_sd": UNCERTAIN}),
    "clusters that respond": normal_design("cluster", icc=CLASSES, children={"response_sd": 3}),
}
SIZES = {"pairs": 24, "clusters": 100}


@pytest.mark.parametrize("name", LAWS)
def test_reference_success_is_the_mean_over_the_law(name):
    """Against Gauss and Legendre's rule over quantiles, each correlation taken as known."""
    design, n = LAWS[name], SIZES[name.split()[0].rstrip(",")]
    x, w = np.polynomial.legendre.leggauss(48)
    weight = 6 * w * stats.norm.pdf(6 * x)
    rho = np.minimum(design.unit_correlation.distribution.ppf(stats.norm.cdf(6 * x)), 1 - 1e-9)
    effect = 0.5 if "equivalence" in name else 2.0
    mean = sum(p * _success(design.correlated(float(r)), n, effect) for r, p in zip(rho, weight, strict=True))
    assert _success(design, n, effect) == pytest.approx(mean, abs=2e-6)


@pytest.mark.parametrize("name", ["pairs", "clusters"])
def test_reference_simulated_trials_draw_from_the_law(name):
    """One correlation a trial: within four Monte Carlo errors of the exact engine, with and without an effect."""
    design, n = LAWS[name], SIZES[name]
    for effect in (0.0, 2.0):
        seen = operate(fixed_truths(design, effect, 6000, seed=5), design, n=[n], seed=6)["success"].item()
        p = _success(design, n, effect)
        assert abs(seen - p) < 4 * math.sqrt(p * (1 - p) / 6000)


def test_a_law_that_is_hardly_one_is_its_mean():
    for kind, key, value in (("pairs", "pair_correlation", 0.6), ("cluster", "icc", 0.05)):
        almost = normal_design(kind, **{key: figure(value, sd=1e-4)})
        assert _success(almost, 100) == pytest.approx(_success(normal_design(kind, **{key: value}), 100), abs=1e-6)


def test_at_a_known_sd_and_at_fixed_truths_the_law_is_averaged_over():
    design = LAWS["pairs"]
    assurance = Assurance(design, design.analyses[0], known(2.0))
    at = surface(design, n=[24], sd=[4.0], effect=[2.0]).item()
    assert assurance.at_sd(24, 4.0) == pytest.approx(at, abs=1e-6)
    middle = Assurance(design.correlated(0.743), design.analyses[0], known(2.0)).at_sd(24, 4.0)
    assert abs(at - middle) > 0.02


def test_fewer_pairs_and_more_clusters_where_children_are_more_alike():
    def needed(design) -> int:
        return smallest(Assurance(design, design.analyses[0], known(2.0)), 0.8)

    pairs = [needed(normal_design("pairs", pair_correlation=r)) for r in (0.0, 0.25, 0.5, 0.75, 0.95)]
    assert pairs == sorted(pairs, reverse=True)
    assert pairs[0] > 3 * pairs[-1]
    clusters = [needed(normal_design("cluster", icc=r)) for r in (0.0, 0.02, 0.1, 0.3)]
    assert clusters == sorted(clusters)
    assert clusters[-1] > 2 * clusters[0]
    assert pairs[-1] < needed(normal_design("pairs", pair_correlation=TWINS)) < pairs[0]


# simulated


def test_a_trial_has_one_correlation_and_meets_it_at_every_n():
    """Differences between trials of how alike pairs are, by 2000 pairs each: mean and SD of the law."""
    design = normal_design("pairs", pair_correlation=figure(0.6, sd=0.2), children={"measurement_error": 0})
    sd, zero = np.full(60, 5.0), np.zeros((2, 60))
    small, large = (draw_trials(design, n, zero, sd, stream(7, "alike")).change[0] for n in (500, 2000))
    assert np.array_equal(small, large[: small.shape[0]])
    seen = [np.corrcoef(change[::2], change[1::2])[0, 1] for change in large.T]
    assert np.mean(seen) == pytest.approx(0.6, abs=4 * 0.2 / math.sqrt(60))
    assert np.std(seen, ddof=1) == pytest.approx(0.2, rel=4 / math.sqrt(2 * 60))
    assert len(set(np.round(seen, 6))) == 60


def test_centres_lie_apart_by_their_icc():
    """sd^2 / (sd^2 + excess_sd^2) = icc; by a law each trial has its own; the SD of change is told at its median."""
    law = {"number": 200, "icc": 0.2, "icc_sd": 0.1} | SOURCE
    design = normal_design("parallel", children={"centres": law, "measurement_error": 0})
    trials = draw_trials(design, 2000, np.zeros((2, 40)), np.full(40, 5.0), stream(8, "centres"))
    place = [trials.change[0][trials.unit == at].mean(axis=0) for at in range(200)]
    between = np.var(place, axis=0, ddof=1) - 25 / 20
    icc = between / (between + 25)
    assert icc.mean() == pytest.approx(0.2, abs=4 * 0.11 / math.sqrt(40))
    assert icc.std(ddof=1) == pytest.approx(0.1, rel=0.6)
    median = stats.beta.ppf(0.5, *_ab(share_law(0.2, 0.1)))
    assert change_sd(design).median == pytest.approx(5 / math.sqrt(1 - median))


# what is said of it


def test_the_ends_of_the_law_are_among_the_settings_of_children():
    names = [name for name, _ in settings(read_design("next_twins"))]
    assert [name for name in names if "within" in name] == [
        "correlation within pairs 0.332",
        "correlation within pairs 0.987",
    ]
    centres = dict(settings(read_design("next_centres")))
    low, high = (d.children.centres for name, d in centres.items() if name.startswith("ICC of centres"))
    assert low.icc_sd is high.icc_sd is None
    assert (low.icc, high.icc) == pytest.approx(stats.beta.ppf([0.05, 0.95], *_ab(share_law(0.0556, 0.063))))
    assert not any("within" in name for name, _ in settings(normal_design("pairs")))


def test_what_moves_n_has_the_ends_of_the_law_and_the_page_says_that_it_is_hardly_known():
    asked = {"trial.children": "normal_change", "search.target": {"metric": "power", "value": 0.8}}
    (prepared,) = question_of_design("next_twins", asked).plans
    base = Assumed("structure", "", "", prepared.models, prepared.contrasts, prepared.plan.trial)
    cases = [case for case in cases_of(prepared, base) if case.to.startswith("within")]
    assert [case.words for case in cases] == [
        "correlation within pairs 0.255 (2.5 %)",
        "correlation within pairs 0.994 (97.5 %)",
    ]
    few = [smallest(Assurance(c.trial, c.trial.analyses[0], known(1.42)), 0.8) for c in (*cases, base)]
    assert few[1] < few[2] < few[0]
    said = {row["about"]: row["words"] for row in limits(prepared, None, [])}
    assert said["units"].startswith("Changes within pairs correlate by 0.743 on average (95 % 0.25 to 0.99).")
