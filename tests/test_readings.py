"""Readings of suspect figures: what each makes of the raw rows, and what the posterior says of them."""

import dataclasses
import math
import re

import arviz as az
import numpy as np
import pytest
import xarray as xr
from damage import damaged_tables, faults_of, trial
from exact_figures import state_probability
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gmfmsim.answer.readings import rivals, under_readings
from gmfmsim.answer.sizing import Sizing
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, one_reading, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import CORRELATION_Z, RULES, read_contrasts
from gmfmsim.evidence.schema import READINGS
from gmfmsim.evidence.spread import spread_field
from gmfmsim.evidence.what_if import Supposed, with_supposed
from gmfmsim.faults import InputError
from gmfmsim.model.average import RARE, Member
from gmfmsim.model.complete import replicate
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.engine import Fit, fit
from gmfmsim.model.exact import fit_exact, posterior
from gmfmsim.model.likelihood import NEVER, likelihood
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.structure import structure
from gmfmsim.model.under_reading import given_reading, i_squared, reading_probability
from gmfmsim.question.question import read_question
from gmfmsim.trial.size import RequiredN

PRIMARY = Selection(default_use="primary")
EXACT = Sampler(engine="exact", cross_check=False, draws=1000)


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def primary(tables):
    return select_contrasts(tables, PRIMARY)


@pytest.fixture(scope="module")
def averaged(primary, tables):
    return read_contrasts(primary, tables, "average")


@pytest.fixture(scope="module")
def fitted(averaged) -> Fit:
    return fit(read_model(ModelChoice(name="random_effects")), averaged, EXACT, seed=1)


def contrast_row(tables, **cells):
    (row,) = tables.where("contrasts", **cells)
    return row


# each reading against the figures that the papers print


def test_every_reading_has_a_rule():
    assert tuple(RULES) == READINGS


@pytest.mark.parametrize(
    ("study", "month", "reading", "effect", "se"),
    [
        # means 10.27 (2.96) and 4.75 (1.45) of 27 and 27 children
        ("Huang2018", 12, "as_printed", 5.52, math.sqrt((2.96**2 + 1.45**2) / 27)),
        ("Huang2018", 12, "spread_is_se", 5.52, math.hypot(2.96, 1.45)),
        ("Huang2018", 6, "as_printed", 4.66, math.sqrt((2.44**2 + 1.66**2) / 27)),
        ("Huang2018", 6, "spread_is_se", 4.66, math.hypot(2.44, 1.66)),
        # raw sums of 264: 64.526 (SEM 9.6) of 19 and 36.8 (SEM 8.802) of 20
        ("Gu2020", 12, "as_printed", 27.726 / 2.64, math.hypot(9.6, 8.802) / 2.64),
        ("Gu2020", 12, "spread_is_sd", 27.726 / 2.64, math.hypot(9.6 / 19**0.5, 8.802 / 20**0.5) / 2.64),
        # d 0.92 for a difference of 8.07 between 36 and 36
        ("Amanat2021", 12, "sd_from_d", 8.07, 8.07 / 0.92 * math.sqrt(2 / 36)),
        ("Amanat2021", 12, "as_tabled", 8.07, 3.2909),
        # interval 2.08 to 12.76
        ("Zarrabi2022", 12, "centre_of_interval", 7.42, 2.7245),
    ],
)
def test_known_reading(tables, study, month, reading, effect, se):
    row = next(r for r in tables.where("contrasts", study_id=study, month=month) if r["md100"] is not None)
    found = RULES[reading](row, tables, {})
    # the tables round derived standard deviations to four decimals
    assert found.effect == pytest.approx(effect, abs=1e-4)
    assert found.se == pytest.approx(se, abs=1e-4)
    assert found.log_se_sd == 0


@pytest.mark.parametrize(("arm", "n"), [("msc", 33), ("mnc", 34)])
def test_known_an_imputed_sd_is_that_of_the_field_for_both_arms(tables, arm, n):
    field = spread_field(tables, 12, without_study="Liu2017")
    row = contrast_row(tables, study_id="Liu2017", arm_a=arm, month=12)
    found = RULES["imputed_sd"](row, tables, {})
    assert found.se == pytest.approx(field.median * math.sqrt(1 / n + 1 / 35), rel=1e-12)
    assert found.control_se == pytest.approx(field.median / math.sqrt(35), rel=1e-12)
    assert found.log_se_sd == field.log_sd > 0.2


def test_known_an_sd_in_a_range_has_its_middle_and_its_width(tables):
    """3 to 6 with probability 0.95: log-normal about the geometric mean, the logarithm's SD a quarter of ln 2 or so."""
    row = contrast_row(tables, study_id="Huang2018", month=12, measure="MD")
    found = RULES["sd_in_range"](row, tables, {"sd_low": 3.0, "sd_high": 6.0})
    se = math.sqrt(2 / 27)
    low, high = (found.se * math.exp(z * found.log_se_sd) for z in (-1.959964, 1.959964))
    assert (low, high) == pytest.approx((3 * se, 6 * se), rel=1e-6)
    assert found.effect == 5.52


def test_known_change_scores_of_lv2023(tables):
    """Baseline 52.41 (24.44) and 47.43 (27.3), final 74.95 (23.84) of 11 and 41.94 (24.5) of 8."""
    found = RULES["change_score"](contrast_row(tables, study_id="Lv2023", month=24), tables, {})
    assert found.effect == pytest.approx((74.95 - 52.41) - (41.94 - 47.43), abs=1e-9)

    def se(r):
        active = 24.44**2 + 23.84**2 - 2 * r * 24.44 * 23.84
        control = 27.3**2 + 24.5**2 - 2 * r * 27.3 * 24.5
        return math.sqrt(active / 11 + control / 8)

    assert found.se == pytest.approx(se(0.9), rel=1e-9)
    # the log-normal stands for the exact distribution of se over arctanh r ~ Normal: its quantiles within 6 %
    for p in (0.05, 0.25, 0.75, 0.95):
        exact = se(math.tanh(CORRELATION_Z[0] - CORRELATION_Z[1] * special.ndtri(p)))
        assert found.se * math.exp(found.log_se_sd * special.ndtri(p)) == pytest.approx(exact, rel=0.06)


# combinations


def test_known_combinations_of_the_primary_contrasts(averaged):
    assert averaged.sizes["reading"] == 4 * 2 * 2 * 2
    assert averaged["suspect"].values.tolist() == ["Amanat2021", "Zarrabi2022", "Huang2018", "Gu2020", "Liu2017"]
    assert averaged["weight"].sum().item() == pytest.approx(1, rel=1e-12)
    assert (np.diff(averaged["weight"].values) <= 0).all()
    assert averaged["weight"].values[0] == pytest.approx(0.85 * 0.7 * 0.4 * 0.95, rel=1e-12)
    assert averaged["reading_of"].values[0].tolist() == [
        *("as_tabled", "as_tabled", "sd_in_range", "as_printed", "imputed_sd")
    ]


def test_the_weight_of_a_reading_is_the_share_of_its_combinations(averaged, tables):
    for row in tables.rows["readings"]:
        if row["month"] == 12:
            names = averaged["reading_of"].sel(suspect=row["study_id"]).values
            share = averaged["weight"].values[names == row["reading"]].sum()
            assert share == pytest.approx(row["weight"], rel=1e-12)


def weighted(tables, weights: dict[str, list[float]]):
    """Return the shipped tables with other weights of readings, by study."""
    rows = [dict(r) for r in tables.rows["readings"]]
    for study, others in weights.items():
        for month in {r["month"] for r in rows if r["study_id"] == study}:
            own = [r for r in rows if (r["study_id"], r["month"]) == (study, month)]
            for row, weight in zip(own, others, strict=True):
                row["weight"] = weight
    return dataclasses.replace(tables, rows=tables.rows | {"readings": rows})


@pytest.mark.parametrize("tiny", [1e-300, 5e-324])
def test_tiny_weights_are_shares_all_the_same(primary, tables, averaged, tiny):
    """Five studies whose products are below the smallest number: even odds of each reading, as of weights of 1."""
    small = {"Amanat2021": [tiny] * 2, "Zarrabi2022": [tiny] * 2, "Gu2020": [tiny] * 2, "Liu2017": [tiny]}
    data = read_contrasts(primary, weighted(tables, small | {"Huang2018": [tiny] * 4}), "average")
    assert data["weight"].values == pytest.approx(np.full(32, 1 / 32), rel=1e-12)


def test_a_reading_beside_which_another_vanishes_has_all_the_weight(primary, tables):
    """No weight is 0 or not a number: a likelihood takes its logarithm, and no warning reaches a user."""
    small = {"Amanat2021": [1, 1e-300], "Zarrabi2022": [1, 1e-300]}
    data = read_contrasts(primary, weighted(tables, small), "average")
    weight, names = data["weight"].values, data["reading_of"]
    assert weight.sum() == pytest.approx(1, rel=1e-12)
    assert (weight > 0).all()
    tabled = (names.sel(suspect=["Amanat2021", "Zarrabi2022"]).values == "as_tabled").all(axis=1)
    assert weight[tabled].sum() == pytest.approx(1, rel=1e-12)
    spec = read_model(ModelChoice(name="random_effects"))
    fixed = read_contrasts(primary, tables, {"Amanat2021": "as_tabled", "Zarrabi2022": "as_tabled"})
    means = [fit_exact(spec, d).moments("mu")[0] for d in (data, fixed)]
    assert means[0] == pytest.approx(means[1], rel=1e-9)


def test_a_combination_holds_the_readings_that_it_names(averaged, primary):
    labels = primary["study"].values.tolist()
    huang, sun = labels.index("Huang2018"), labels.index("Sun2022")
    expected = {"as_printed": 0.6343, "spread_is_se": 3.2961}
    for r in range(averaged.sizes["reading"]):
        one = averaged.isel(reading=r)
        reading = one["reading_of"].sel(suspect="Huang2018").item()
        if reading in expected:
            assert one["se"].values[huang] == pytest.approx(expected[reading], abs=1e-4)
        assert (one["log_se_sd"].values[huang] > 0) == (reading in ("imputed_sd", "sd_in_range"))
        assert one["se"].values[sun] == primary["se"].values[sun]
        assert np.sqrt(np.diag(one["covariance"].values)) == pytest.approx(one["se"].values, rel=1e-12)
        assert np.linalg.eigvalsh(one["covariance"].values).min() > 0


def test_shared_controls_follow_the_reading(averaged):
    """Liu's two arms share a control of 35, whose share of the error is that of the imputed SD."""
    (i, j) = np.flatnonzero(averaged["study"].values == "Liu2017")
    one = averaged.isel(reading=0)
    n = one["n_active"].values[i]
    share = (1 / 35) / (1 / n + 1 / 35)
    assert one["covariance"].values[i, j] == pytest.approx(one["se"].values[i] ** 2 * share, rel=1e-9)


def test_as_tabled_leaves_the_contrasts_alone(primary, tables):
    assert read_contrasts(primary, tables, "as_tabled").identical(one_reading(primary))


def test_studies_without_readings_are_left_alone(tables):
    data = select_contrasts(tables, Selection(default_use="primary", study=["Min2013", "Kang2015"]))
    read = read_contrasts(data, tables, "average")
    assert read["weight"].values.tolist() == [1]
    assert read.isel(reading=0)[[*data]].drop_vars("suspect", errors="ignore").identical(data)


def test_a_named_reading_is_taken_and_the_others_are_averaged_over(primary, tables):
    data = read_contrasts(primary, tables, {"Huang2018": "as_printed"})
    assert data.sizes["reading"] == 2 * 2 * 2
    assert set(data["reading_of"].sel(suspect="Huang2018").values) == {"as_printed"}
    assert data["weight"].sum().item() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("choice", "where", "allowed"),
    [
        (
            {"Huang2018": "spread_is_sd"},
            "key evidence.readings.Huang2018",
            "as_printed, spread_is_se, sd_in_range, imputed_sd",
        ),
        ({"Haung2018": "as_printed"}, "key evidence.readings.Haung2018", "nearest: Huang2018"),
        ({"Kang2015": "as_printed"}, "key evidence.readings.Kang2015", "Huang2018"),
    ],
)
def test_a_reading_that_is_not_declared_is_refused(primary, tables, choice, where, allowed):
    with pytest.raises(InputError) as refusal:
        read_contrasts(primary, tables, choice, "trial.toml")
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("trial.toml", where)
    assert allowed in fault.allowed


def line_of(tables, **cells) -> int:
    (row,) = tables.where("readings", **cells)
    return row["row"]


@pytest.mark.parametrize(
    ("study", "reading", "other", "needs"),
    [
        ("Liu2017", "imputed_sd", "as_printed", "a printed spread of mnc and ctrl"),
        ("Huang2018", "imputed_sd", "sd_from_d", "a printed SMD of ucb_msc against ctrl"),
        ("Amanat2021", "sd_from_d", "sd_in_range", "sd_low and sd_high in its row"),
        ("Amanat2021", "sd_from_d", "change_score", "mean and n of uct_msc, GMFM-66 baseline at month 0"),
    ],
)
def test_a_reading_without_its_figures_is_a_fault_of_its_row(tables, tmp_path, study, reading, other, needs):
    line = line_of(tables, study_id=study, month=12, reading=reading)
    own = read_tables(damaged_tables(tmp_path, "readings", {(line, "reading"): other}))
    with pytest.raises(InputError, match=rf"readings\.csv: row {line}, reading {other} of {study}: needs {needs}"):
        read_contrasts(select_contrasts(own, PRIMARY), own, "average")


def test_more_combinations_than_can_be_averaged_over_are_refused(primary, tables):
    """Twenty studies of four readings each: told at once, without making a million million combinations."""
    many = dataclasses.replace(tables, rows=dict(tables.rows))
    huang = tables.where("readings", study_id="Huang2018", month=12)
    contrasts, rows, parts = list(tables.rows["contrasts"]), [], []
    (one,) = np.flatnonzero(primary["study"].values == "Huang2018")
    for i in range(20):
        contrasts.append(
            contrast_row(tables, study_id="Huang2018", month=12, measure="MD") | {"study_id": f"S{i}", "row": 1000 + i}
        )
        rows += [row | {"study_id": f"S{i}"} for row in huang]
        part = primary.isel(contrast=[one], contrast_=[one])
        parts.append(part.assign(row=("contrast", [1000 + i])))
    many.rows.update(contrasts=contrasts, readings=rows)
    data = xr.concat(parts, "contrast", coords="minimal", compat="override", data_vars="all").drop_dims("contrast_")
    with pytest.raises(InputError, match=f"{4**20} combinations of readings"):
        read_contrasts(data, many, "average")


@pytest.mark.parametrize(
    ("cell", "value", "where"),
    [
        ("weight", "0", "column weight"),
        ("weight", "1.5", "column weight"),
        ("sd_low", "0", "column sd_low"),
        ("reading", "as_print", "column reading"),
        ("reason", "", "column reason"),
        ("study_id", "Nobody2020", "column study_id"),
        ("scale", "GMFM", "columns scale, month: Huang2018 has no contrast on GMFM at month 6"),
        ("month", "7", "columns scale, month"),
    ],
)
def test_a_damaged_table_of_readings_is_refused(tmp_path, cell, value, where):
    with pytest.raises(InputError, match=rf"readings\.csv: row 2, {where}"):
        read_tables(damaged_tables(tmp_path, "readings", {(2, cell): value}))


@pytest.mark.parametrize(
    ("readings", "combinations"),
    [
        ("average", 32),
        ("as_tabled", 1),
        ({"Huang2018": "as_printed"}, 8),
        ({"Huang2018": "as_printed", "Gu2020": "as_printed"}, 4),
    ],
    ids=str,
)
def test_an_experiment_chooses_its_readings(tmp_path, readings, combinations):
    (plan,) = read_question(str(trial(tmp_path, {"evidence.readings": readings}))).plans
    assert plan.contrasts.sizes.get("reading", 1) == combinations
    assert plan.config["evidence"]["readings"] == readings


@pytest.mark.parametrize(
    ("readings", "where"),
    [
        ("avarage", "key evidence.readings"),
        (3, "key evidence.readings"),
        ({"Huang2018": 0.5}, "key evidence.readings.Huang2018"),
        ({"Huang2018": "as_print"}, "key evidence.readings.Huang2018"),
    ],
    ids=str,
)
def test_an_experiment_with_other_readings_is_refused(tmp_path, readings, where):
    assert ("trial.toml", where) in faults_of(trial(tmp_path, {"evidence.readings": readings}))


# the likelihood as a mixture

numbers = st.floats(-5, 5)


def suspect(effect, covariance, log_se_sd, weight, study) -> xr.Dataset:
    """Return contrasts with readings: effect, log_se_sd (R, K), covariance (R, K, K), weight (R,)."""
    data = contrasts_from_arrays(effect[0], covariance[0], study=study).isel(reading=0)
    return data.drop_vars(("suspect", "reading_of")).assign(
        effect=(("reading", "contrast"), effect),
        log_se_sd=(("reading", "contrast"), log_se_sd),
        covariance=(("reading", "contrast", "contrast_"), covariance),
        weight=("reading", weight),
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(numbers, min_size=3, max_size=3), st.lists(numbers, min_size=3, max_size=3), st.floats(0, 1))
def test_the_density_of_every_state_is_that_of_scipy(effect, mean, u):
    """Three contrasts of two studies with correlated errors are one block, with two states and heterogeneity."""
    rng = np.random.default_rng(7)
    root = rng.normal(size=(2, 3, 3))
    covariance = root @ root.transpose(0, 2, 1) + np.eye(3)
    effects, log_se_sd = np.array([effect, rng.normal(size=3)]), np.array([[0.5, 0, 0], [0, 0.2, 0.2]])
    weight = np.array([0.3, 0.7])
    evidence = likelihood(suspect(effects, covariance, log_se_sd, weight, ["a", "b", "b"]))
    gain = np.array([0.7, 0.0, 0.0]), np.array([0.0, 0.4, 1.1])
    log_scale = evidence.log_scale(np.array([u, u]))
    found = evidence.by_state(np.array(mean), [g[None] for g in gain], log_scale)
    alone = evidence.conditional(np.array(mean), log_scale)
    for r in range(2):
        d = np.diag(np.exp(log_se_sd[r] * u))
        errors = d @ covariance[r] @ d
        whole = stats.multivariate_normal(mean, errors + sum(np.outer(g, g) for g in gain))
        assert found[0, r] == pytest.approx(np.log(weight[r]) + whole.logpdf(effects[r]), rel=1e-9, abs=1e-9)
        for c in range(3):
            others = [i for i in range(3) if i != c]
            rest = stats.multivariate_normal(np.array(mean)[others], errors[np.ix_(others, others)])
            expected = stats.multivariate_normal(mean, errors).logpdf(effects[r]) - rest.logpdf(effects[r][others])
            assert alone[0, r, c] == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.slow
def test_known_log_likelihood_leaves_one_contrast_out_of_the_mixture(fitted, averaged):
    """log p(y_c | the others) = log p(y) - log p(y without c), both by SciPy, over the combinations of readings."""
    drawn = fitted.tree["posterior"].to_dataset().isel(chain=1, draw=17)
    found = fitted.tree["log_likelihood"]["y"].isel(chain=1, draw=17).values
    k = averaged.sizes["contrast"]
    mean = drawn["theta"].values * np.where(averaged["gmfm66"].values, 1, 1 / drawn["r"].item())
    scale = dict(zip(drawn["uncertain_spread"].values.tolist(), drawn["spread_offset"].values, strict=True))
    study_u = np.array([scale.get(s, 0.0) for s in averaged["study"].values.tolist()])

    def log_density(kept):
        terms = []
        for i in range(averaged.sizes["reading"]):
            one = averaged.isel(reading=i)
            d = np.exp(one["log_se_sd"].values * study_u)
            covariance = (one["covariance"].values * np.outer(d, d))[np.ix_(kept, kept)]
            normal = stats.multivariate_normal(mean[kept], covariance)
            terms.append(np.log(one["weight"].item()) + normal.logpdf(one["effect"].values[kept]))
        return special.logsumexp(terms)

    everything = list(range(k))
    for c in everything:
        others = [i for i in everything if i != c]
        assert found[c] == pytest.approx(log_density(everything) - log_density(others), abs=1e-8)


def test_recovery_replicated_data_have_the_moments_of_the_mixture():
    effect = np.array([[1.0, 2.0], [1.5, 2.0]])
    covariance = np.array([[[1, 0.5], [0.5, 2]], [[4, 0], [0, 1]]], float)
    evidence = likelihood(suspect(effect, covariance, np.zeros((2, 2)), np.array([0.25, 0.75]), ["a", "b"]))
    rng, size = np.random.default_rng(11), 20_000
    draws = replicate(evidence, np.zeros((size, 2)), 0.0, rng)
    mean = np.array([0.75 * -0.5, 0.0])
    variance = np.array([0.25 * 1 + 0.75 * (4 + 0.25) - mean[0] ** 2, 0.25 * 2 + 0.75])
    error = np.sqrt(variance / size)
    assert (abs(draws.mean(axis=0) - mean) < 4 * error).all()
    assert draws.var(axis=0) == pytest.approx(variance, rel=4 * math.sqrt(2 / size) * 1.5)  # heavier than normal tails


# the posterior under each reading


def test_recovery_an_unknown_error_is_learnt_from_a_conflict():
    """Nine exact studies at 2 and one at 12 with a wide distribution of its error: the error must be large."""
    data = contrasts_from_arrays([2.0] * 9 + [12.0], [0.25] * 9 + [1.0])
    data["log_se_sd"].values[0, -1] = 1.5
    tree = fit(read_model(ModelChoice(name="random_effects")), data, EXACT, seed=5).tree
    assert tree["posterior"]["spread_offset"].mean().item() > 1
    assert tree["posterior"]["mu"].mean().item() == pytest.approx(2, abs=0.4)


@pytest.mark.slow
def test_reference_posterior_given_a_reading_is_that_of_the_reading_alone(fitted, averaged, primary, tables):
    """Draws of the average taken again by their probability, against a fit in which the reading is fixed."""
    fixed = read_contrasts(primary, tables, {"Huang2018": "as_printed"})
    alone = fit(read_model(ModelChoice(name="random_effects")), fixed, EXACT, seed=9).tree
    probability = reading_probability(fitted.tree, averaged)
    taken = averaged["reading_of"].sel(suspect="Huang2018").values == "as_printed"
    again = given_reading(fitted.tree, (probability * xr.DataArray(taken, dims="reading")).sum("reading"), seed=1)
    for name in ("mu", "tau", "r"):
        a, b = again["posterior"][name], alone["posterior"][name]
        error = math.hypot(az.mcse(a, method="mean").item(), az.mcse(b, method="mean").item())
        assert abs(a.mean().item() - b.mean().item()) < 4 * error, name
        assert a.std().item() == pytest.approx(b.std().item(), rel=0.1)  # five Monte Carlo errors of either


def test_reference_reading_probabilities_average_to_the_exact_ones(fitted, averaged):
    """Summed over the combinations with a state, and averaged over draws, against the engine without sampling error."""
    probability = reading_probability(fitted.tree, averaged)
    assert probability.sum("reading").values == pytest.approx(1, abs=1e-9)
    like = fitted.exact.prepared.structure.likelihood
    for block, exact in enumerate(state_probability(fitted.exact)):
        for state in range((like.log_weight[block] > NEVER).sum()):
            share = (probability * xr.DataArray(like.state_of[block] == state, dims="reading")).sum("reading")
            error = max(az.mcse(share, method="mean").item(), 1e-9)
            assert abs(share.mean().item() - exact[state]) < 4 * error


def test_reference_a_fit_given_a_reading_is_the_fit_to_that_reading(fitted, averaged):
    """Components weighed again, against a fit to the reading alone; the probabilities of a study's readings add up."""
    whole, weight, total = fitted.exact, averaged["weight"].values, {}
    for study, _, taken in rivals(averaged):
        before = weight[taken].sum()
        given = whole.given(np.where(taken, weight, 0) / before)
        probability = before * math.exp(given.log_marginal - whole.log_marginal)
        total[study] = total.get(study, 0.0) + probability
        if probability < RARE:
            continue
        some = averaged.isel(reading=taken).assign(weight=("reading", weight[taken] / before))
        alone = posterior(structure(read_model(ModelChoice(name="random_effects")), some))
        assert given.log_marginal == pytest.approx(alone.log_marginal, abs=1e-5)
        for ours, theirs in (
            (given.new_study(), alone.new_study()),
            (given.parameter("tau"), alone.parameter("tau")),
        ):
            for p in (0.025, 0.5, 0.975):
                assert ours.quantile(p) == pytest.approx(theirs.quantile(p), abs=1e-4)
    assert list(total.values()) == pytest.approx([1.0] * 4, abs=1e-9)


def test_a_reading_of_which_no_component_is_left_is_fitted_alone(averaged):
    """Huang 2018 as printed, a hundred standard errors from all else, and next to never so before the data."""
    taken = averaged["reading_of"].sel(suspect="Huang2018").values == "as_printed"
    where = averaged["study"].values == "Huang2018"
    weight = averaged["weight"].values * np.where(taken, 1e-12, 1.0)
    far = np.where(taken[:, None] & where, 200.0, averaged["effect"].transpose("reading", "contrast").values)
    data = averaged.assign(effect=(("reading", "contrast"), far), weight=("reading", weight / weight.sum()))
    whole = posterior(structure(read_model(ModelChoice(name="random_effects")), data), quick=True)
    share = np.where(taken, weight, 0.0) / weight[taken].sum()
    assert whole.given(share).log_marginal == -math.inf
    (plan,) = read_question("quickstart_one_mean").plans
    found = Sizing(dataclasses.replace(plan, reading=lambda: dataclasses.replace(plan.evidence, contrasts=data)), list)
    assert np.isfinite(found.given(taken).members[0].mixture.log_marginal)


def test_known_reading_probabilities_are_prior_times_likelihood():
    """Two readings of one study's error, theta 0: 0.8 Normal(3; 0, 1) against 0.2 Normal(3; 0, 9)."""
    data = suspect(np.full((2, 1), 3.0), np.array([[[1.0]], [[9.0]]]), np.zeros((2, 1)), [0.8, 0.2], ["a"])
    group = xr.Dataset({"theta": (("chain", "draw", "contrast"), np.zeros((1, 2, 1)))})
    found = reading_probability(xr.DataTree.from_dict({"posterior": group}), data)
    first, second = 0.8 * stats.norm.pdf(3), 0.2 * stats.norm(scale=3).pdf(3)
    assert found.values[0, 1] == pytest.approx([first / (first + second), second / (first + second)], rel=1e-12)


def test_given_keeps_draws_in_order_and_in_proportion(fitted):
    group = fitted.tree["posterior"].to_dataset()
    above = (group["mu"] > 3).astype(float)
    again = given_reading(fitted.tree, above, seed=1)["posterior"]["mu"].values.ravel()
    kept = group["mu"].transpose("chain", "draw").values.ravel()
    kept = kept[kept > 3]
    assert again.size == above.size
    order = {value: i for i, value in enumerate(kept)}
    positions = np.array([order[value] for value in again])
    assert (np.diff(positions) >= 0).all()
    counts = np.bincount(positions, minlength=kept.size)
    assert counts.min() >= math.floor(again.size / kept.size)
    assert counts.max() <= math.ceil(again.size / kept.size)


def test_known_i_squared_for_equal_errors():
    """With equal standard errors s2 is their square, so that I2 = tau2 / (tau2 + se2)."""
    data = contrasts_from_arrays([1, 2, 3, 4], [4] * 4)
    group = xr.Dataset(
        {"theta": (("chain", "draw", "contrast"), np.zeros((1, 2, 4)))}, coords={"contrast": data["contrast"].values}
    )
    tau = xr.DataArray([[1.0, 2.0]], dims=("chain", "draw"))
    assert i_squared(tau, group, data).values[0, :, 0] == pytest.approx([1 / 5, 4 / 8], rel=1e-12)


def test_known_i_squared_of_one_contrast_is_not_defined():
    data = contrasts_from_arrays([1], [4])
    group = xr.Dataset({"theta": (("chain", "draw", "contrast"), np.zeros((1, 1, 1)))})
    assert np.isnan(i_squared(xr.DataArray([[1.0]], dims=("chain", "draw")), group, data).item())


def test_under_readings_of_the_quick_start(fitted):
    (prepared,) = read_question("quickstart_one_mean").plans
    members = [Member("random_effects", read_model(ModelChoice(name="random_effects")), fitted, 1.0)]
    required = RequiredN(7, (6, 8), "reached", 0.9, 0.001, 60)  # of the first row: handed through, not computed
    rows = under_readings(Sizing(prepared, lambda: members), required)
    first, *others = rows
    assert (first["study"], first["n"]) == (None, 7)
    assert first["prior"] == pytest.approx(1)
    by = {(r["study"], r["reading"]): r for r in others}
    assert len(by) == 4 + 2 + 2 + 2
    assert first["posterior"] == pytest.approx(1)
    for study in ("Huang2018", "Gu2020", "Amanat2021", "Zarrabi2022"):
        group = [r for r in others if r["study"] == study]
        assert sum(r["prior"] for r in group) == pytest.approx(1)
        assert sum(r["posterior"] for r in group) == pytest.approx(1, abs=1e-6)  # but for components that are left out
        mean = sum(r["posterior"] * r["effect"] for r in group)
        assert mean == pytest.approx(first["effect"], abs=2e-3)  # the average of its parts, refitted with few nodes
    # the smaller the error, the more the large effect of Huang weighs and the fewer children seem needed
    printed, se = by["Huang2018", "as_printed"], by["Huang2018", "spread_is_se"]
    assert printed["effect"] > se["effect"]
    assert printed["i2"] > se["i2"] + 0.05
    assert printed["n"] < se["n"]
    # few weigh on a reading that the other trials contradict
    assert by["Gu2020", "spread_is_sd"]["posterior"] < by["Gu2020", "spread_is_sd"]["prior"]


def test_the_report_shows_every_reading(results):
    page = results["quickstart_one_mean"].report.read_text(encoding="utf-8")
    assert "If suspect figures are read otherwise" in page
    answer = results["quickstart_one_mean"].answer
    assert len(answer["readings"]) == 11
    for row in answer["readings"][1:]:
        assert re.search(rf"<td>{row['study']}</td>.*>{row['n_total']}<", page), row


# what an unpublished trial would do

SUPPOSED = Supposed(study="RegNCT01929434", effect=0, n_active=100, n_control=100, sd=5.5)


def test_known_a_supposed_result_joins_as_a_contrast_of_its_own(primary, tables):
    data = with_supposed(primary, tables, [SUPPOSED])
    assert data.sizes["contrast"] == 13
    assert data["effect"].values[-1] == 0
    assert data["se"].values[-1] == pytest.approx(5.5 * math.sqrt(2 / 100), rel=1e-12)
    assert data["supposed"].values.tolist() == [False] * 12 + [True]
    np.testing.assert_array_equal(data["covariance"].values[:12, :12], primary["covariance"].values)
    assert not data["covariance"].values[12, :12].any()
    assert data["gmfm66"].values[-1]
    read = read_contrasts(data, tables, "average")
    assert read["effect"].values[:, -1].tolist() == [0] * read.sizes["reading"]


def test_an_unknown_sd_of_a_supposed_result_stays_unknown(primary, tables):
    data = read_contrasts(
        with_supposed(primary, tables, [SUPPOSED.model_copy(update={"log_sd": 0.3})]), tables, "average"
    )
    assert data["log_se_sd"].values[:, -1].tolist() == [0.3] * data.sizes["reading"]
    assert "RegNCT01929434" in likelihood(data).uncertain_spread


@pytest.mark.parametrize(
    ("study", "problem"),
    [("RegNCT0192943", "is not in studies.csv"), ("Kang2015", "has a result already")],
)
def test_a_supposed_result_of_another_study_is_refused(primary, tables, study, problem):
    with pytest.raises(InputError, match=problem):
        with_supposed(primary, tables, [SUPPOSED.model_copy(update={"study": study})])


def test_the_same_trial_is_not_supposed_twice(primary, tables):
    with pytest.raises(InputError, match="has a result already"):
        with_supposed(primary, tables, [SUPPOSED, SUPPOSED])
