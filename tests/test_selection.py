"""Selection by p value and other accounts of reporting bias: metafor's and RoBMA's figures, SciPy's quadrature."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import optimize, special, stats

from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.effect import Condition
from gmfmsim.model.exact import Refused, fit_exact
from gmfmsim.model.reporting_bias import fit_account, over_accounts, without_effect
from gmfmsim.model.selection import Steps, kernels, log_likelihood, selection_posterior
from gmfmsim.model.selection.selected import POINTS, selected
from gmfmsim.model.structure import structure
from gmfmsim.model.terms import mean_se
from gmfmsim.model.truths import exact_belief

HERE = Path(__file__).parent
BECAUSE = {"unit": "points", "reason": "for this test"}
AT = Condition(dose=5e7)


def model(mu_sd=10.0, tau_sd=2.0, terms=(), **priors) -> ModelSpec:
    """A random-effects model with these standard deviations of its priors."""
    own = {
        "mu": {"dist": "normal", "mean": 0, "sd": mu_sd},
        "tau": {"dist": "half_normal", "sd": tau_sd},
        "r": {"dist": "truncated_normal", "mean": 0.56, "sd": 0.1, "lower": 0.3, "upper": 1.0},
    } | {name: {"dist": "normal", "mean": 0, "sd": sd} for name, sd in priors.items()}
    given = {name: prior | BECAUSE | ({"unit": "none"} if name == "pet" else {}) for name, prior in own.items()}
    return ModelSpec.model_validate({"title": "t", "curve": "constant", "terms": list(terms), "priors": given})


def robma() -> dict:
    """The figures of RoBMA's own tests and their data: three effects (y, se) on no particular scale."""
    return json.loads((HERE / "reference" / "robma_selection.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hackshaw():
    """37 studies of lung cancer and passive smoking (Hackshaw 1998): log odds ratios."""
    with (HERE / "reference" / "dat_hackshaw1998.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    y, v = (np.array([float(row[name]) for row in rows]) for name in ("yi", "vi"))
    return SimpleNamespace(y=y, v=v, model=structure(model(), contrasts_from_arrays(y, v)))


# other systems


def maximum(study, steps: Steps | None, free=np.exp) -> tuple[np.ndarray, float]:
    """Maximise the likelihood over mu, tau and weights free(x) (all 1 without steps): what it is at, and how high."""
    ready = selected(study.model, steps or Steps(p=(0.5,)), 1)

    def minus(x):
        weights = np.concatenate([[1.0], free(x[2:])]) if steps else np.ones(2)
        return -ready.density(x[:1], {"tau": np.array([[np.exp(x[1])]])}, weights[None])[0, 0]

    start = np.concatenate([[0.2, np.log(0.2)], np.zeros(len(steps.p) if steps else 0)])
    found = optimize.minimize(minus, start, method="BFGS", options={"gtol": 1e-5})
    return np.concatenate([[found.x[0], np.exp(found.x[1])], free(found.x[2:])]), -found.fun


def test_reference_step_function_of_metafor(hackshaw, reference):
    expected = reference["MF15"]["expected"]
    found, height = maximum(hackshaw, Steps(p=(0.05, 0.10, 0.50)))
    assert found[2:] == pytest.approx(expected["delta"][1:], rel=1e-3)
    assert found[1] ** 2 == pytest.approx(expected["tau2"], rel=1e-3)
    assert 2 * (height - maximum(hackshaw, None)[1]) == pytest.approx(expected["LRT"], rel=1e-3)


def test_reference_falling_weights_of_metafor(hackshaw):
    """decreasing = TRUE in metafor: 0.999966, 0.442781, 0.148179; it stops short of the bound of 1."""
    found = maximum(hackshaw, Steps(p=(0.05, 0.10, 0.50)), lambda x: np.cumprod(special.expit(x)))[0]
    assert found[2:] == pytest.approx([1.0, 0.442781, 0.148179], rel=2e-3)


def inverse_gamma_marginal(log_p, scale=0.15) -> float:
    """log of the integral of exp(log_p(tau)) over tau ~ InverseGamma(1, scale)."""
    x, w = np.polynomial.legendre.leggauss(80)
    tau = stats.invgamma(1, scale=scale).ppf((x + 1) / 2)
    return float(special.logsumexp([log_p(t) for t in tau], b=w / 2))


@pytest.mark.parametrize("effect", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_reference_marginal_likelihoods_of_robma(effect):
    """Twelve models on three effects: effect or none, tau 0 or inverse gamma, no bias, two-sided p < 0.1, or PET."""
    given = robma()
    y, se = np.array(given["y"]), np.array(given["se"])
    data = contrasts_from_arrays(y, se**2)
    sd = 1.0 if effect else 1e-6
    two_sided = structure(model(mu_sd=sd), data)
    steps = Steps(p=(0.1,), sides=2)
    x, w = np.polynomial.legendre.leggauss(60)
    omega = np.stack([np.ones(60), (x + 1) / 2], axis=1)
    mu, density = (8 * sd * x, 8 * sd * w * stats.norm.pdf(8 * sd * x, scale=sd))

    def none(tau):
        return stats.multivariate_normal.logpdf(y, cov=np.diag(se**2 + tau**2) + sd**2)

    def selection(tau):
        log_p = log_likelihood(two_sided, steps, mu, {"tau": np.full((60, 1), tau)}, omega)
        return special.logsumexp(log_p, b=density[:, None] * w / 2)

    def pet(tau):  # the upper half of Normal(0, 1): twice the half of the mass above 0 of what both halves give
        cov = np.diag(se**2 + tau**2) + sd**2 + np.outer(se, se)
        gain = np.linalg.solve(cov, se)
        above = stats.norm.cdf(gain @ y / np.sqrt(1 - gain @ se))
        return stats.multivariate_normal.logpdf(y, cov=cov) + np.log(2 * above)

    for name, log_p in {"none": none, "two_sided": selection, "pet": pet}.items():
        of = given["effect" if effect else "no_effect"][name]
        assert log_p(1e-9) == pytest.approx(of["tau 0"], abs=0.02), name
        assert inverse_gamma_marginal(log_p) == pytest.approx(of["inverse gamma"], abs=0.02), name


def test_reference_selection_posterior_of_robma_with_a_spike_at_tau_0():
    """The posterior's own marginal likelihood, tau as good as 0."""
    given = robma()
    data = contrasts_from_arrays(given["y"], np.square(given["se"]))
    for effect in (True, False):
        spec = model(mu_sd=1.0, tau_sd=1e-6)
        spec = spec if effect else without_effect(spec)
        found = selection_posterior(spec, data, Steps(p=(0.1,), sides=2)).log_marginal
        assert found == pytest.approx(given["effect" if effect else "no_effect"]["two_sided"]["tau 0"], abs=0.02)


def test_known_wide_priors_of_pet_give_weighted_least_squares(hackshaw):
    """Flat priors and no heterogeneity: intercept and slope of the regression of y on se with weights 1 / se^2."""
    se = np.sqrt(hackshaw.v)
    for term, x in (("pet", se), ("peese", se**2)):
        spec = model(mu_sd=1e4, tau_sd=1e-6, terms=[term], **{term: 1e4})
        exact = fit_exact(spec, contrasts_from_arrays(hackshaw.y, hackshaw.v))
        design = np.column_stack([np.ones(x.size), x])
        precision = design.T @ (design / hackshaw.v[:, None])
        expected = np.linalg.solve(precision, design.T @ (hackshaw.y / hackshaw.v))
        error = np.sqrt(np.diag(np.linalg.inv(precision)))
        for i, name in enumerate(("mu", term)):
            assert exact.coefficient(name).mean == pytest.approx(expected[i], rel=1e-5)
            assert exact.coefficient(name).sd == pytest.approx(error[i], rel=1e-5)


# quadrature of SciPy


SMALL = SimpleNamespace(
    y=np.array([3.1, 0.9, 6.0, 1.2]),
    v=np.array([[1.4, 0.6, 0, 0], [0.6, 1.7, 0, 0], [0, 0, 4.0, 0], [0, 0, 0, 1.1]]),
    study=["a", "a", "b", "c"],
    gmfm66=np.array([True, True, False, True]),
)


def dense(omega, mu, tau, r, steps) -> float:
    """The density of SMALL by SciPy's normal and bivariate normal distributions."""
    s = np.where(SMALL.gmfm66, 1.0, 1 / r)
    edges, number = steps.bands
    ends = np.concatenate([[-np.inf], edges, [np.inf]])
    weight = omega[number]
    total = 1.0
    for rows in ([0, 1], [2], [3]):
        y, v, m = SMALL.y[rows], SMALL.v[np.ix_(rows, rows)], s[rows] * mu
        law = stats.multivariate_normal(m, v + tau**2 * np.outer(s[rows], s[rows]), allow_singular=False)
        se = np.sqrt(np.diag(v))
        own = np.prod([weight[np.sum(edges <= z)] for z in y / se])
        boxes = np.ndindex(*(weight.size,) * len(rows))
        far = 60.0
        mean = sum(
            np.prod(weight[list(at)])
            * law.cdf(
                np.clip(ends[np.array(at) + 1], -far, far) * se, lower_limit=np.clip(ends[list(at)], -far, far) * se
            )
            for at in boxes
        )
        total *= law.pdf(y) * own / mean
    return float(total)


def small_data():
    return contrasts_from_arrays(SMALL.y, SMALL.v, study=SMALL.study, gmfm66=SMALL.gmfm66)


@pytest.mark.parametrize("steps", [Steps(p=(0.025, 0.05)), Steps(p=(0.05, 0.10), sides=2), Steps(p=(0.3,))])
def test_known_likelihood_jointly_over_the_arms_of_a_study(steps):
    weights = np.stack([np.linspace(1, low, len(steps.p) + 1) for low in (1.0, 0.4, 0.02)])
    mu, tau, r = np.array([0.0, 2.5, -3.0, 8.0]), np.array([[0.3], [2.0], [0.0], [7.0]]), np.array([[0.5], [0.6]] * 2)
    found = log_likelihood(structure(model(), small_data()), steps, mu, {"tau": tau, "r": r}, weights)
    for j in range(4):
        expected = [np.log(dense(omega, mu[j], tau[j, 0], r[j, 0], steps)) for omega in weights]
        assert found[j] == pytest.approx(expected, abs=2e-6)


def test_known_posterior_by_dense_quadrature():
    """One step, two studies of the GMFM-66, tau as good as 0: mu and omega on a grid, by SciPy's distributions."""
    y, se, steps = np.array([2.6, 0.7]), np.array([1.1, 0.9]), Steps(p=(0.025,))
    found = selection_posterior(model(mu_sd=3.0, tau_sd=1e-6), contrasts_from_arrays(y, se**2), steps)
    cut = stats.norm.isf(0.025) * se
    x, w = np.polynomial.legendre.leggauss(120)
    mu = np.concatenate([-12 + 6.25 * (x + 1), 0.5 + 5.75 * (x + 1)])  # cut at 0.5
    share = np.concatenate([6.25 * w, 5.75 * w]) * stats.norm.pdf(mu, 0, 3)
    t = np.concatenate(
        [np.sqrt(0.3) * (x + 1) / 2, np.sqrt(0.3) + (1 - np.sqrt(0.3)) * (x + 1) / 2]
    )  # omega cut at 0.3
    omega = t**2
    step = np.concatenate([np.sqrt(0.3) * w / 2, (1 - np.sqrt(0.3)) * w / 2]) * 2 * t
    joint = share[:, None] * step
    for effect, error, end in zip(y, se, cut, strict=True):
        mean = stats.norm.sf(end, mu, error)[:, None] + omega * stats.norm.cdf(end, mu, error)[:, None]
        joint = joint * stats.norm.pdf(effect, mu, error)[:, None] * (1.0 if effect >= end else omega) / mean
    total = joint.sum()
    assert found.log_marginal == pytest.approx(np.log(total), abs=1e-6)
    joint = joint / total
    mean = joint.sum(axis=1) @ mu
    assert found.amplitude.mean == pytest.approx(mean, abs=1e-5)
    assert found.amplitude.sd == pytest.approx(np.sqrt(joint.sum(axis=1) @ (mu - mean) ** 2), abs=1e-5)
    assert found.amplitude.above(0.5) == pytest.approx(joint[mu > 0.5].sum(), abs=1e-4)
    weight = found.omega(1)
    assert weight.mean == pytest.approx(joint.sum(axis=0) @ omega, abs=1e-6)
    assert weight.cdf(0.3) == pytest.approx(joint[:, omega < 0.3].sum(), abs=1e-6)
    assert weight.cdf(weight.quantile(0.2)) == pytest.approx(0.2, abs=1e-9)


def test_known_likelihood_over_readings_and_unknown_standard_errors():
    """Two readings, the second with a log-normal standard error: its p value changes with it."""
    data = contrasts_from_arrays([2.0], [1.0])
    two = data.isel(reading=[0, 0]).assign(
        effect=(("reading", "contrast"), [[2.0], [2.4]]),
        covariance=(("reading", "contrast", "contrast_"), [[[1.0]], [[1.69]]]),
        log_se_sd=(("reading", "contrast"), [[0.0], [0.5]]),
        weight=("reading", [0.6, 0.4]),
    )
    mu, tau, omega = 0.7, 0.8, np.array([1.0, 0.6, 0.1])
    u = np.linspace(-6, 6, 200_001)
    own = 0.0
    for w, y, se, share in ((0.6, 2.0, 1.0, 1.0), (0.4, 2.4, 1.3 * np.exp(0.5 * u), stats.norm.pdf(u) * (u[1] - u[0]))):
        sd, z = np.hypot(se, tau), stats.norm.isf([0.025, 0.05])
        top, low = (stats.norm.sf(cut * se, mu, sd) for cut in z)
        mean = top + omega[1] * (low - top) + omega[2] * (1 - low)
        weight = np.where(y / se >= z[0], 1.0, np.where(y / se >= z[1], omega[1], omega[2]))
        own += w * np.sum(share * stats.norm.pdf(y, mu, sd) * weight / mean)
    phi, steps = {"tau": np.array([[tau]])}, Steps(p=(0.025, 0.05))
    found = log_likelihood(structure(model(), two), steps, np.array([mu]), phi, omega[None])
    assert found[0, 0] == pytest.approx(np.log(own), abs=3e-5)


def test_the_nodes_of_unknown_standard_errors_are_enough_for_the_shipped_evidence():
    tables = read_tables()
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "average")
    ready, steps = structure(model(), data), Steps(p=(0.025, 0.05))
    weights = steps.rule(2)[0]
    mu, phi = np.array([0.0, 1.5, 4.0]), {"tau": np.array([[0.2], [1.0], [2.0]]), "r": np.array([[0.5], [0.56], [0.7]])}
    found, fine = (selected(ready, steps, points).density(mu, phi, weights) for points in (POINTS, 8.0))
    assert found == pytest.approx(fine, abs=1e-4)


@pytest.mark.parametrize("rho", [-0.99, -0.7, 0.0, 0.3, 0.59, 0.8, 0.94, 0.97, 0.995])
def test_known_bivariate_normal_probabilities(rho):
    h, k = np.array([-2.0, 0.4, 1.7]), np.array([-1.1, 0.6, 2.2])
    x, w = kernels.PLACKETT[0 if abs(rho) < 0.6 else 1 if abs(rho) < 0.95 else 2]
    found = kernels._bivariate(h, k, rho, x, w)
    law = stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]])
    expected = [[law.cdf([a, b]) for b in k] for a in h]
    assert found[:3, :3] == pytest.approx(np.array(expected), abs=1e-6)
    assert found[:3, 3] == pytest.approx(stats.norm.cdf(h), abs=1e-12)


# properties


def test_known_weights_of_one_change_nothing():
    """Where every result is as likely to be published, selection is no selection."""
    phi = {"tau": np.ones((1, 1)), "r": np.full((1, 1), 0.5)}
    steps, ready = Steps(p=(0.025, 0.05)), structure(model(), small_data())
    ones = log_likelihood(ready, steps, np.array([1.5]), phi, np.ones((1, 3)))
    s = np.where(SMALL.gmfm66, 1.0, 2.0)
    same = np.equal.outer(SMALL.study, SMALL.study)
    law = stats.multivariate_normal(1.5 * s, SMALL.v + np.outer(s, s) * same)
    assert ones[0, 0] == pytest.approx(law.logpdf(SMALL.y), abs=1e-10)


def test_known_prior_of_weights_is_cumulative_dirichlet():
    weights, share = Steps(p=(0.025, 0.05, 0.5)).rule(6)
    assert share.sum() == pytest.approx(1, abs=1e-12)
    falls = np.diff(np.concatenate([weights, np.zeros((weights.shape[0], 1))], axis=1), axis=1)
    assert (falls < 0).all()
    law = stats.dirichlet([1, 1, 1, 1])
    assert share @ -falls == pytest.approx(law.mean(), abs=1e-12)
    assert np.einsum("w,wi,wj->ij", share, falls, falls) - np.outer(law.mean(), law.mean()) == pytest.approx(
        law.cov(), abs=1e-12
    )


def test_selection_takes_significant_results_for_less():
    """Five small studies that just pass: less effect, and less of it the fewer others are published."""
    y, se = np.array([2.1, 4.2, 3.0, 2.6, 3.6]), np.array([1.0, 2.0, 1.4, 1.2, 1.7])
    data, spec = contrasts_from_arrays(y, se**2), model()
    plain = fit_exact(spec, data)
    found = selection_posterior(spec, data, Steps(p=(0.025, 0.05)))
    assert found.amplitude.mean < plain.coefficient("mu").mean - 0.5
    assert found.log_marginal > plain.log_marginal
    assert found.omega(2).mean < found.omega(1).mean < 1
    new = exact_belief(found, spec.shape, AT)
    expected = found.amplitude.mean
    assert float(new.weight @ new.mean) == pytest.approx(expected, abs=1e-10)
    variance = float(new.weight @ (new.sd**2 + new.mean**2)) - expected**2
    tau = found.parameter("tau").moments()
    assert variance == pytest.approx(found.amplitude.sd**2 + tau[0] ** 2 + tau[1] ** 2, rel=1e-3)


def test_accounts_side_by_side():
    """Posterior odds are those before the data times the ratio of marginal likelihoods; no effect has none in mean."""
    y, se = np.array([2.1, 4.2, 3.0, 2.6, 1.0]), np.array([1.0, 2.0, 1.4, 1.2, 0.8])
    data, spec = contrasts_from_arrays(y, se**2), model()
    accounts = (None, "pet", Steps(p=(0.025,)))

    def fitted(of):
        fits = [fit_account(of, data, account) for account in accounts]
        return [(fit.log_marginal, exact_belief(fit, spec.shape, AT)) for fit in fits]

    def mean(belief):
        return float(belief.weight @ belief.mean)

    found, without = fitted(spec), fitted(without_effect(spec))
    odds = np.array([p * np.exp(log_p) for p, rows in ((0.8, found), (0.2, without)) for log_p, _ in rows])
    means = [mean(b) for _, b in (*found, *without)]
    assert means[1] < means[0]
    assert means[3:] == pytest.approx([0, 0, 0], abs=1e-5)
    assert mean(over_accounts(found, without, 0.2)) == pytest.approx(odds @ means / odds.sum())
    assert mean(over_accounts(found)) == pytest.approx(odds[:3] @ means[:3] / odds[:3].sum())


def test_known_standard_errors_of_terms_are_geometric_means_over_readings():
    data = contrasts_from_arrays([1.0, 2.0], [1.0, 4.0])
    twice = data.isel(reading=[0, 0]).assign(weight=("reading", [0.75, 0.25]))
    twice["se"] = ("reading", "contrast"), np.array([[1.0, 2.0], [1.0, 8.0]])
    assert mean_se(twice) == pytest.approx([1.0, 2.0**0.75 * 8**0.25])


def test_known_columns_on_another_scale():
    """The bias of a contrast off the GMFM-66 is pet x its own se on its own scale; peese x (r se)^2 / r there."""
    data = contrasts_from_arrays([1.0, 2.0], [1.0, 9.0], gmfm66=np.array([True, False]))
    phi = {"r": np.array([[0.5]])}
    for term, expected in (("pet", [1.0, 3.0]), ("peese", [1.0, 9.0 * 0.5])):
        found = structure(model(terms=[term], **{term: 1.0}), data).columns(phi)[1]
        assert np.ravel(found) == pytest.approx(expected)


def test_what_selection_cannot_take_is_refused():
    data = small_data()
    with pytest.raises(Refused, match="one linear coefficient, and there are mu, pet"):
        selection_posterior(model(terms=["pet"], pet=1.0), data, Steps(p=(0.025,)))
    three = contrasts_from_arrays(SMALL.y, SMALL.v, study=["a", "a", "a", "c"])
    with pytest.raises(Refused, match="3 contrasts share a study"):
        selection_posterior(model(), three, Steps(p=(0.025,)))
    for wrong in ({"p": (0.05, 0.025)}, {"p": ()}, {"p": (0.0,)}, {"p": (0.1, 0.2, 0.3, 0.4)}):
        with pytest.raises(ValidationError):
            Steps(**wrong)
