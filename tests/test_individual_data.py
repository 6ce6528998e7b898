"""Pooled individual data as one likelihood: against arithmetic by hand, dense quadrature, and the sampler."""

import csv
import json

import numpy as np
import pytest
import tomli_w
from pydantic import TypeAdapter
from scipy import special, stats
from typer.testing import CliRunner

from gmfmsim.cli import app
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.individual_data import IndividualData, with_pool
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model.checks.given_draws import block_density
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.engine import fit
from gmfmsim.model.exact import Refused, fit_exact
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.priors import Prior
from gmfmsim.model.reporting_bias import ACCOUNTS, fit_account
from gmfmsim.model.structure import structure
from gmfmsim.question.evidence import EvidenceSpec, contrasts_of
from gmfmsim.question.question import question_from, read_question

POOL = IndividualData(meta_id="FinchEdmondson2025", month=12)
SE = (2.52 - 0.31) / (2 * stats.norm.ppf(0.975))
K = 7
HELD_ROWS = {2, 3, 16, 17, 20, 22, 29, 33}
"""The primary rows of contrasts.csv with children of the pool: of five trials, and one that shares a sham arm."""
BY_VEIN = {"cell_class": "TNC_MNC", "route": ["IV", "IV/IA"]}


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def data(tables):
    """The pool in place of the primary contrasts that it holds, and the others as tabled."""
    return read_contrasts(
        with_pool(select_contrasts(tables, Selection(default_use="primary")), tables, POOL), tables, "as_tabled"
    )


@pytest.fixture(scope="module")
def alone(tables):
    """The pool and nothing beside it."""
    chosen = select_contrasts(tables, Selection(default_use="primary", **BY_VEIN))
    return read_contrasts(with_pool(chosen, tables, POOL), tables, "average")


def held_at(value: float, spec: ModelSpec | None = None) -> ModelSpec:
    """Return the one-mean model, or another one, with tau held at a value."""
    spec = spec or read_model(ModelChoice(name="random_effects"))
    prior = {"dist": "fixed", "value": value, "unit": "GMFM-66 points", "reason": "asked for"}
    return spec.model_copy(update={"priors": spec.priors | {"tau": TypeAdapter(Prior).validate_python(prior)}})


def other_models() -> dict[str, ModelSpec]:
    """Return shipped models that ask of every trial what a pool hides, with why."""
    return {name: read_model(ModelChoice(name=name)) for name in ("robust", "pet", "peese")}


def experiment(**changes) -> dict:
    """Return the shipped experiment without alternatives, some of its sections changed."""
    raw = {k: v for k, v in read_toml(find("experiments", "individual_data")).items() if k != "alternatives"}
    return raw | {"sampler": {"cross_check": False}} | changes


def faults_of(raw: dict, tmp_path) -> list[tuple[str, str, str]]:
    with pytest.raises(InputError) as caught:
        question_from(raw, tmp_path / "x.toml")
    return [(f.where, f.problem, f.allowed) for f in caught.value.faults]


# what the pool holds


def test_known_the_pool_takes_the_place_of_what_it_holds(tables, data):
    primary = select_contrasts(tables, Selection(default_use="primary"))
    rows = set(primary["row"].values.tolist())
    assert rows >= HELD_ROWS
    assert set(data["row"].values.tolist()) == (rows - HELD_ROWS) | {0}
    kept = np.isin(primary["row"].values, list(HELD_ROWS), invert=True)
    np.testing.assert_array_equal(data["effect"].values[0, :-1], primary["effect"].values[kept])
    np.testing.assert_array_equal(
        data["covariance"].values[0, :-1, :-1], primary["covariance"].values[np.ix_(kept, kept)]
    )
    assert not data["covariance"].values[0, -1, :-1].any()
    last = data.isel(contrast=-1, reading=0)
    assert (last["effect"].item(), last["se"].item()) == (1.42, pytest.approx(SE, rel=1e-12))
    assert data["pooled_trials"].values.tolist() == [1.0] * kept.sum() + [K]
    assert data.attrs["pool"] == "FinchEdmondson2025 (7 trials, 341 children)"
    left = data.attrs["in_pool"]
    assert all(
        study in left for study in ("Sun2017", "Sun2022 hct_msc", "Amanat2021", "Zarrabi2022", "Kang2015", "Min2013")
    )


def test_known_cells_are_those_that_all_arms_have_and_the_rest_is_not_known(data):
    last = data.isel(contrast=-1)
    assert (last["cell_class"].item(), last["route"].item(), last["country"].item()) == ("TNC_MNC", "mixed", "")
    assert (last["age"].item(), last["age_sd"].item()) == (4.55, 0.0)  # which the pool prints
    for name in ("dose", "randomised", "small_study", "log10_dose_sd"):
        assert np.isnan(last[name].item()), name


def test_the_declared_overlap_is_that_of_the_studies(tables):
    """Every study that studies.csv says to be in the pool is declared, and no other one."""
    said = {
        s["study_id"] for s in tables.rows["studies"] if "inside the FinchEdmondson2025" in (s["sample_overlap"] or "")
    }
    held = tables.where("held", meta_id="FinchEdmondson2025")
    assert {row["study_id"] for row in held} == said
    assert {row["certainty"] for row in held} == {"probable"}
    controlled = {s for s in said if tables.studies[s]["design"] != "single_arm"}
    assert len(controlled) == K


def test_the_declared_overlap_counts_in_the_key_of_a_plan_with_the_pool_alone(tmp_path):
    """Two folders that differ in held.csv alone: one key without the pool, two with it; and two names of copies."""
    keys, copies = {True: set(), False: set()}, set()
    for certainty in ("probable", "certain"):
        folder = tmp_path / certainty / "own"
        folder.mkdir(parents=True)
        for file in PACKAGE_TABLES.glob("*.csv"):
            (folder / file.name).write_bytes(file.read_bytes())
        held = (folder / "held.csv").read_text(encoding="utf-8").replace(",probable,", f",{certainty},")
        (folder / "held.csv").write_text(held, encoding="utf-8")
        evidence = experiment()["evidence"] | {"tables": "own"}
        for with_it in (True, False):
            own = evidence if with_it else {k: v for k, v in evidence.items() if k != "individual_data"}
            question = question_from(experiment(evidence=own), folder.parent / "x.toml")
            keys[with_it].add(question.key)
            copies |= question.plans[0].tables_copies.keys()
    assert [len(keys[True]), len(keys[False]), len(copies)] == [2, 1, 2]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("study_id", "Sun2O17", "unknown study 'Sun2O17'"),
        ("arm_id", "ucbb", "unknown arm 'ucbb' of Sun2017"),
        ("certainty", "perhaps", "certain, probable"),
        ("meta_id", "Finch2025", "no estimate of 'Finch2025' stands in pooled.csv"),
        ("source_url", "", "source_url"),
    ],
)
def test_what_is_wrong_with_a_declared_overlap_is_said(tmp_path, column, value, expected):
    for file in PACKAGE_TABLES.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "held.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0][column] = value
    with (tmp_path / "held.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError) as caught:
        read_tables(tmp_path)
    (fault,) = caught.value.faults
    assert fault.file == "held.csv"
    assert "row 2" in fault.where
    assert expected in f"{fault.where} {fault.problem} {fault.allowed}"


@pytest.mark.parametrize(
    ("change", "where", "expected"),
    [
        ({"meta_id": "FinchEdmondson2024"}, "meta_id", "FinchEdmondson2025"),
        ({"meta_id": "Eggenberger2019"}, "meta_id", "does not say which trials"),
        ({"month": 9}, "month", "one of 6, 12"),
        ({"month": 0}, "month", "greater than 0"),
        ({"months": 12}, "months", "month"),
    ],
)
def test_a_pool_that_cannot_be_taken_is_a_fault(tmp_path, change, where, expected):
    evidence = experiment()["evidence"]
    found = faults_of(
        experiment(evidence=evidence | {"individual_data": evidence["individual_data"] | change}), tmp_path
    )
    assert any(w == f"key evidence.individual_data.{where}" and expected in f"{p} {a}" for w, p, a in found), found


def test_a_pool_beside_a_published_estimate_is_a_fault(tmp_path):
    evidence = {
        "pooled": {"meta_id": "Eggenberger2019"},
        "individual_data": {"meta_id": "FinchEdmondson2025", "month": 12},
    }
    found = faults_of(experiment(evidence=evidence), tmp_path)
    assert any("a published estimate has none" in f"{p} {a}" for _, p, a in found)


def test_what_a_trial_of_the_pool_would_find_is_a_fault(tmp_path):
    supposed = {"study": "Cox2022", "effect": 0, "n_active": 10, "n_control": 10, "sd": 5}
    found = faults_of(experiment(evidence=experiment()["evidence"] | {"what_if": [supposed]}), tmp_path)
    assert [w for w, p, _ in found if "holds the children of Cox2022" in p] == ["key evidence.what_if.0.study"]


# the likelihood


def test_a_supposed_trial_beside_a_pool_is_one_trial(tables):
    supposed = {"study": "RegNCT01929434", "effect": 0, "n_active": 100, "n_control": 100, "sd": 5.5, "log_sd": 0.12}
    pool = {"meta_id": "FinchEdmondson2025", "month": 12}
    select = {"default_use": "primary"}
    spec = EvidenceSpec(tables="package", select=select, individual_data=pool, what_if=[supposed])
    found = contrasts_of(spec, tables)
    assert sorted(found["pooled_trials"].values.tolist()) == [1.0] * (found.sizes["contrast"] - 1) + [7.0]
    assert np.isfinite(fit_exact(read_model(ModelChoice(name="random_effects")), found).log_marginal)


@pytest.mark.parametrize("tau", [0.0, 0.65, 1.3])
def test_known_alone_with_tau_held_it_is_a_normal_posterior(alone, tau):
    """mu ~ Normal(0, 10), y ~ Normal(mu, se^2 + tau^2 / 7): precisions add up."""
    assert alone["contrast"].values.tolist() == ["FinchEdmondson2025, 7 trials, month 12"]
    exact = fit_exact(held_at(tau), alone)
    within = SE**2 + tau**2 / K
    precision = 1 / within + 1 / 100
    mu = exact.coefficient("mu")
    assert mu.mean == pytest.approx(1.42 / within / precision, rel=1e-12)
    assert mu.sd == pytest.approx(precision**-0.5, rel=1e-12)
    assert exact.new_study().sd == pytest.approx(np.hypot(precision**-0.5, tau), rel=1e-12)
    assert exact.log_marginal == pytest.approx(stats.norm.logpdf(1.42, 0, np.sqrt(within + 100)), rel=1e-12)
    assert exact.moments("tau") == (tau, 0.0)
    found = exact.parameter("tau")
    assert (found.quantile(0.025), found.cdf(tau), found.cdf(tau - 1e-9)) == (tau, 1.0, 0.0)


def test_reference_tau_estimated_equals_dense_quadrature():
    """Five trials, two of them arms of one study, and a pool: mu and tau by SciPy alone on 400 points of tau."""
    y = np.array([3.0, 1.0, -0.5, 4.0, 1.42])
    within = np.diag([1.4, 2.0, 1.1, 3.0, SE**2])
    within[0, 1] = within[1, 0] = 0.5
    study, trials = np.array([0, 0, 1, 2, 3]), np.array([1, 1, 1, 1, K])
    names = [f"s{i}" for i in study]
    data = contrasts_from_arrays(y, within, study=names, covariates={"pooled_trials": trials.astype(float)})
    exact = fit_exact(read_model(ModelChoice(name="random_effects")), data)
    u, w = np.polynomial.legendre.leggauss(400)
    tau, w = 15 * (u + 1), 15 * w * stats.halfnorm(scale=2).pdf(15 * (u + 1))
    share = np.sqrt(trials)
    between = np.equal.outer(study, study) / np.outer(share, share)
    covariance = within + tau[:, None, None] ** 2 * between
    ones = np.linalg.solve(covariance, np.ones((tau.size, y.size, 1)))[..., 0]
    precision = ones.sum(axis=1) + 1 / 100
    mean = ones @ y / precision
    quadratic = np.einsum("i,ji->j", y, np.linalg.solve(covariance, np.tile(y[:, None], (tau.size, 1, 1)))[..., 0])
    log_p = -0.5 * (quadratic - mean**2 * precision + np.linalg.slogdet(covariance)[1] + np.log(100 * precision))
    log_p -= y.size / 2 * np.log(2 * np.pi)
    total = w @ np.exp(log_p)
    weight = w * np.exp(log_p) / total
    mu_mean = weight @ mean
    mu_sd = np.sqrt(weight @ (1 / precision + (mean - mu_mean) ** 2))
    above = weight @ special.ndtr(mean / np.sqrt(1 / precision + tau**2))
    found = exact.coefficient("mu")
    assert (found.mean, found.sd) == pytest.approx((mu_mean, mu_sd), rel=1e-8)
    assert exact.moments("tau")[0] == pytest.approx(weight @ tau, rel=1e-8)
    assert exact.new_study().above(0) == pytest.approx(above, abs=1e-9)
    assert exact.log_marginal == pytest.approx(np.log(total), abs=1e-9)


def test_reference_of_its_trials_the_pool_says_of_tau_held_what_they_say():
    """Seven trials of one standard error, pooled by equal weights: the posterior of mu given tau is theirs."""
    y = np.array([0.3, 2.9, 1.1, -1.0, 2.4, 1.8, 2.44])
    trials = contrasts_from_arrays(y, np.full(K, K * SE**2))
    pool = contrasts_from_arrays(np.array([y.mean()]), np.array([SE**2]), covariates={"pooled_trials": [float(K)]})
    for tau in (0.0, 0.65, 1.3):
        one, other = (fit_exact(held_at(tau), data).coefficient("mu") for data in (trials, pool))
        assert (one.mean, one.sd) == pytest.approx((other.mean, other.sd), rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["months", "held"])
def test_reference_both_engines_agree(data, model):
    spec = held_at(0.65) if model == "held" else read_model(ModelChoice(name=model))
    found = fit(spec, data, Sampler(draws=500), 3)
    assert found.engine == "exact"
    assert found.verdict == "passed", found.gate
    assert max(row["distance"] for row in found.compared) < 4
    posterior = found.tree["posterior"].to_dataset()
    assert ("tau" in {row["name"] for row in found.compared}) == (model != "held")
    if model == "held":  # the pool's own effect: the mean of its trials', which deviates by tau / sqrt(7) from mu
        theta, of_study = posterior["theta"].isel(contrast=-1), posterior["study_mu"].sel(study="FinchEdmondson2025")
        np.testing.assert_allclose(theta.values, of_study.values)


def test_known_the_likelihood_of_draws_is_that_of_the_pool(alone):
    """log p(y | mu, tau) at draws is Normal(mu, se^2 + tau^2 / 7); its deviations are standard normal a priori."""
    found = fit(read_model(ModelChoice(name="random_effects")), alone, Sampler(draws=2000, cross_check=False), 3)
    group = found.tree["posterior"].to_dataset()
    log_p = block_density(read_model(ModelChoice(name="random_effects")), alone, group)[:, 0]
    mu, tau = (group[name].values.ravel() for name in ("mu", "tau"))
    np.testing.assert_allclose(log_p, stats.norm.logpdf(1.42, mu, np.sqrt(SE**2 + tau**2 / K)), rtol=1e-9)
    before = found.tree["prior"].to_dataset()
    z = (before["study_mu"].values[..., 0] - before["mu"].values) / before["tau"].values * np.sqrt(K)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4


# where it does not make sense


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("robust", "Student-t, and the mean of several"),
        ("pet", "needs the standard error of each trial"),
        ("peese", "needs the standard error of each trial"),
        ("small_study", "no number of children of both arms is known"),
        ("linear", "no dose is known"),
        ("route", "no route is known"),
        ("country", "no country is known"),
    ],
)
def test_a_model_that_asks_what_a_pool_hides_is_a_fault(tmp_path, name, expected):
    raw = experiment(model={"name": name})
    raw["trial"] = raw["trial"] | {"setting": {"route": "intravenous", "cell_class": "TNC_MNC"}}
    found = faults_of(raw, tmp_path)
    assert any(expected in problem and "FinchEdmondson2025" in problem for _, problem, _ in found), found


def test_a_prior_of_the_errors_of_trials_is_a_fault(tmp_path):
    prior = {"dist": "du_mouchel", "unit": "GMFM-66 points", "reason": "of the errors"}
    found = faults_of(experiment(model={"name": "random_effects", "priors": {"tau": prior}}), tmp_path)
    assert [w for w, p, _ in found if "the prior of tau needs the standard error of each trial" in p] == [
        "key evidence.individual_data"
    ]


def test_what_is_no_model_of_a_pool_is_refused_in_python_too(data):
    for name, spec in other_models().items():
        with pytest.raises(Refused, match="FinchEdmondson2025, 7 trials"):
            fit_exact(spec, data)
        with pytest.raises(ValueError, match="FinchEdmondson2025, 7 trials"):
            structure(spec, data)
        assert name in ("robust", "pet", "peese")
    with pytest.raises(Refused, match="hides which of its trials"):
        fit_account(read_model(ModelChoice(name="random_effects")), data, ACCOUNTS["selection"])


@pytest.mark.parametrize(
    ("model", "priors", "expected"),
    [
        ("random_effects", {"tau": -0.1}, "reaches below 0"),
        ("random_effects", {"mu": 1.0}, "may hold tau alone"),
        ("random_effects", {"r": 0.5}, "may hold tau alone"),
        ("robust", {"tau": 0.5}, "in models with normal studies"),
    ],
)
def test_a_value_holds_tau_alone(tmp_path, model, priors, expected):
    evidence = {k: v for k, v in experiment()["evidence"].items() if k != "individual_data"}
    units = {"mu": "GMFM-66 points", "tau": "GMFM-66 points", "r": "GMFM-66 points per GMFM-88 per cent point"}
    held = {name: {"dist": "fixed", "value": v, "unit": units[name], "reason": "asked"} for name, v in priors.items()}
    found = faults_of(experiment(evidence=evidence, model={"name": model, "priors": held}), tmp_path)
    assert any(expected in f"{p} {a}" for _, p, a in found), found


# the way through


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """What `gmfmsim size` says of the shipped experiment."""
    done = CliRunner().invoke(app, ["size", "individual_data", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_check_says_what_was_left_out():
    done = CliRunner().invoke(app, ["check", "individual_data"])
    assert done.exit_code == 0
    assert "4 contrasts of 3 studies and FinchEdmondson2025 (7 trials, 341 children)" in done.stdout
    assert "stands in place of the trials that it probably holds" in done.stdout
    assert "Sun2017 ucb_high16 v ctrl, month 12" in done.stdout


def test_known_n_grows_with_tau_held(sized):
    first, *alternatives = (plan["n_total"] for plan in (sized, *sized["alternatives"]))
    beside, alone = alternatives[:3], alternatives[4:]
    assert beside == sorted(beside)
    assert alone == sorted(alone)
    assert beside[0] < first < beside[2]
    assert all(a < b for a, b in zip(beside, alone, strict=True))


def test_what_moves_n_has_the_pool_where_the_trials_are_taken(tmp_path):
    """The row of the quick start's one mean is the shipped plan, to the error of a quick refit."""
    raw = experiment(name="x", sensitivity={"changed": ["reading"]})
    del raw["evidence"]["individual_data"]
    path = tmp_path / "x.toml"
    path.write_text(tomli_w.dumps(raw), encoding="utf-8")
    own = tmp_path / "y.toml"
    own.write_text(tomli_w.dumps(experiment(name="y")), encoding="utf-8")
    found = []
    for file, flags in ((path, ["--what-moves"]), (own, [])):
        done = CliRunner().invoke(app, ["size", str(file), "--json", *flags])
        assert done.exit_code == 0, done.output
        found.append(json.loads(done.stdout))
    (row,) = [row for row in found[0]["sensitivity"] if row["to"] == "FinchEdmondson2025"]
    assert row["changed"] == "reading"
    assert row["n_total"] == pytest.approx(found[1]["n_total"], rel=0.01)
    assert "in place of the trials that it holds" in row["words"]


def test_the_resolved_configuration_keeps_the_key():
    question = read_question("individual_data")
    again = question_from(json.loads(json.dumps(question.config)), find("experiments", "individual_data"))
    assert again.key == question.key
