"""Cells and erythropoietin as a network of arms: known answers, shared arms, and what cannot be told apart."""

import csv
import shutil

import numpy as np
import pytest

import gmfmsim
from gmfmsim.answer.words import extrapolations
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.faults import InputError
from gmfmsim.model.checks.left_out import some_contrasts
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import fit_exact
from gmfmsim.model.structure import structure

BOTH = [2, 3, 16, 29, 33, 38]
"""Lines of contrasts.csv: nucleated cells by vein, those of Min 2013 against both of its controls."""
MEANS, ERRORS = np.array([9.1, 9.0, 7.8]), np.array([1.2, 1.1, 0.9])
"""Changes of Min 2013 at month 6 with cells and erythropoietin, with erythropoietin, with neither; standard errors."""
NETWORKS = {
    "against either control": [[1, -1, 0], [1, 0, -1]],
    "either against neither": [[1, 0, -1], [0, 1, -1]],
    "in a chain": [[1, -1, 0], [0, 1, -1]],
}
"""Two contrasts of the three arms: what is taken of each arm's mean."""


def network(rows=BOTH, **more):
    tables = shipped_tables()
    return read_contrasts(select_contrasts(tables, Selection(row=rows), network=True, **more), tables, "as_tabled")


def of_arms(weights):
    """Two contrasts of the three arms, their covariance from the arms' standard errors."""
    x = np.array(weights, float)
    cells, epo = x[:, 0], x[:, 0] + x[:, 1]
    covariance = x @ np.diag(ERRORS**2) @ x.T
    given = {"study": ["Min"] * 2, "dose": 5e7 * cells, "covariates": {"epo": epo}}
    return contrasts_from_arrays(x @ MEANS, covariance, **given)


def with_tau(tau):
    """The shipped model with tau held."""
    spec = read_model(ModelChoice(name="epo")).model_dump()
    spec["priors"]["tau"] = {"dist": "fixed", "value": tau, "unit": "GMFM-66 points", "reason": "held"}
    return ModelSpec.model_validate(spec)


def changed_tables(folder, change):
    """The shipped tables with every row of contrasts.csv changed; return them."""
    folder = shutil.copytree(PACKAGE_TABLES, folder / "tables")
    with (folder / "contrasts.csv").open(encoding="utf-8", newline="") as opened:
        head, *rows = csv.reader(opened)
    with (folder / "contrasts.csv").open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(head)
        for line, row in enumerate(rows, 2):
            writer.writerow(list(change(line, dict(zip(head, row, strict=True))).values()))
    return read_tables(folder)


@pytest.mark.parametrize("tau", [0.5, 2.0])
@pytest.mark.parametrize("name", NETWORKS)
def test_known_a_network_is_least_squares_of_three_arms_with_priors(name, tau):
    """By hand from the means of the arms: level (flat) + [cells] (mu + tau z) + [erythropoietin] epo."""
    exact = fit_exact(with_tau(tau), of_arms(NETWORKS[name]))
    design = np.array([[1.0, 1, 1], [1, 0, 1], [1, 0, 0]])
    variance = np.diag(ERRORS**2) + tau**2 * np.outer(design[:, 1], design[:, 1])
    precision = design.T @ np.linalg.inv(variance) @ design + np.diag([0, 10.0**-2, 3.0**-2])
    mean = np.linalg.solve(precision, design.T @ np.linalg.inv(variance) @ MEANS)
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    for i, coefficient in ((1, "mu"), (2, "epo_effect")):
        found = exact.coefficient(coefficient)
        assert (found.mean, found.sd) == pytest.approx((mean[i], sd[i]), rel=1e-10)


def test_known_any_two_contrasts_of_three_arms_say_the_same():
    """They are one another's sums and differences: the same density, whatever tau."""
    fits = [fit_exact(read_model(ModelChoice(name="epo")), of_arms(x)) for x in NETWORKS.values()]
    for one in fits[1:]:
        assert one.log_marginal == pytest.approx(fits[0].log_marginal, abs=1e-9)
        for name in ("mu", "epo_effect", "tau"):
            assert one.moments(name) == pytest.approx(fits[0].moments(name), rel=1e-7)


def test_known_contrasts_with_one_treated_arm_share_its_variance():
    """1.2 is the standard error of that arm in outcomes.csv, of which contrasts.csv has the two of the differences."""
    data = network()
    last = data["covariance"].values[0, -2:, -2:]
    np.testing.assert_allclose(last, [[1.2**2 + 1.1**2, 1.2**2], [1.2**2, 1.2**2 + 0.9**2]], atol=2e-4)
    assert (data["covariance"].values[0, :4, 4:] == 0).all()
    assert data["epo"].values.tolist() == [0, 0, 0, 0, 0, 1]
    tables = shipped_tables()
    wanted = {"study_id": "Min2013", "arm_id": "pucb", "scale": "GMFM-unspecified", "kind": "change", "month": 6}
    (arm,) = tables.where("outcomes", preferred="yes", **wanted)
    assert arm["se"] == 1.2


def test_known_a_second_control_adds_nothing_on_cells_where_erythropoietin_may_do_anything():
    wide = {"dist": "normal", "mean": 0, "sd": 1e4, "unit": "GMFM-66 points", "reason": "all but flat"}
    spec, data = read_model(ModelChoice(name="epo", priors={"epo_effect": wide})), of_arms([[1, -1, 0], [1, 0, -1]])
    one = fit_exact(read_model(ModelChoice(name="random_effects")), some_contrasts(data, np.array([True, False])))
    both = fit_exact(spec, data)
    for name in ("mu", "tau"):
        assert both.moments(name) == pytest.approx(one.moments(name), rel=1e-6)


def test_the_shipped_network_says_little_of_erythropoietin_and_as_much_of_the_cells():
    """Min 2013 alone tells of it, 1.2 points on another scale with a standard error of 1.4."""
    found, one = fit_exact(read_model(ModelChoice(name="epo")), network()), network(BOTH[:-1])
    epo, cells = found.coefficient("epo_effect"), found.coefficient("mu")
    assert epo.quantile(0.025) < 0 < epo.mean < 1.2 < epo.quantile(0.975)
    alone = fit_exact(read_model(ModelChoice(name="random_effects")), one).coefficient("mu")
    assert abs(cells.mean - alone.mean) < 0.1
    assert cells.sd == pytest.approx(alone.sd, rel=0.02)


def test_known_erythropoietin_alone_against_neither_says_the_same(tmp_path):
    """Where a user's tables have that contrast: its treated arm has no cells, and both share one control."""
    alone = {"arm_a": "epo", "arm_b": "ctrl", "control_group": "Min2013:ctrl", "control_se100": "0.9"}
    alone |= {"md100": "1.2", "md100_se": str(np.hypot(1.1, 0.9)), "default_use": "sensitivity"}
    changed_tables(tmp_path, lambda line, row: row | (alone if line == 33 else {}))
    select = {"row": BOTH, "default_use": ["primary", "sensitivity"], "cell_class": ["TNC_MNC", "none"]}
    select |= {"route": ["IV", "IV/IA", "none"]}
    changes = {"evidence.tables": str(tmp_path / "tables"), "evidence.select": select, "model.name": "epo"}
    (plan,) = gmfmsim.load("cord_blood_dose", changes | {"alternatives": []}).question.plans
    assert plan.contrasts["epo"].values.tolist() == [0, 0, 0, 0, 1, 1]
    assert plan.contrasts["dose"].values[4] == 0
    spec, data = plan.models["epo"], plan.contrasts
    found, other = fit_exact(spec, data), fit_exact(spec, network())
    for name in ("mu", "epo_effect", "tau", "r"):
        assert found.moments(name) == pytest.approx(other.moments(name), rel=2e-4)  # errors of the tables have 4 digits


# what is refused


def test_a_model_has_to_tell_controls_apart():
    data = network()
    problem = "Min2013 pucb stands against epo and ctrl, which the model does not tell apart"
    with pytest.raises(ValueError, match=problem):
        structure(read_model(ModelChoice(name="random_effects")), data)
    select = {"row": BOTH, "default_use": ["primary", "sensitivity"]}
    changes = {"evidence.select": select, "evidence.network": True, "alternatives": []}
    with pytest.raises(InputError, match=problem):
        gmfmsim.load("cord_blood_dose", changes)


@pytest.mark.parametrize(
    ("rows", "allowed"),
    [
        (BOTH, "; or evidence.network, with a model that tells the controls apart"),
        ([3, 5], ""),  # the low half is treated in one row and a control in the other
    ],
)
def test_several_controls_are_refused_but_in_a_network(rows, allowed):
    with pytest.raises(InputError) as error:
        select_contrasts(shipped_tables(), Selection(row=rows))
    (found,) = [f.allowed for f in error.value.faults if "several controls" in f.problem]
    assert found == "one control arm for each study" + allowed


@pytest.mark.parametrize("rows", [[3, 5], [34, 38], [33, 38, 37]])
def test_what_is_no_network_is_refused_with_it_too(rows):
    """An arm in both roles; two months."""
    with pytest.raises(InputError, match=r"several controls|hold the same children"):
        network(rows)


def test_children_of_a_union_of_controls_are_not_counted_twice(tmp_path):
    """Against both controls together and against one of them."""
    union = {"arm_b": "epo+ctrl", "control_group": "Min2013:both"}
    tables = changed_tables(tmp_path, lambda line, row: row | (union if line == 38 else {}))
    with pytest.raises(InputError, match="several controls"):
        select_contrasts(tables, Selection(row=BOTH), network=True)


def test_the_share_of_the_control_has_to_be_known(tmp_path):
    tables = changed_tables(tmp_path, lambda line, row: row | ({"control_se100": ""} if line == 38 else {}))
    with pytest.raises(InputError, match="row 38, column control_se100: empty, and pucb is shared"):
        select_contrasts(tables, Selection(row=BOTH), network=True)


def test_erythropoietin_needs_a_contrast_that_tells_of_it():
    with pytest.raises(InputError, match="no contrast tells of erythropoietin"):
        gmfmsim.load("cord_blood_dose", {"model.name": "epo", "alternatives": []})


# the number of infusions of the next trial


WARNED = "4 infusions lie outside the 1 studied of these cells: an extrapolation."


@pytest.mark.parametrize(("several", "said"), [(1, []), (4, [WARNED])])
def test_more_infusions_than_these_cells_had_are_an_extrapolation(several, said):
    setting = {"cell_class": "TNC_MNC", "infusions": several}
    changes = {"model.name": "infusions", "trial.setting": setting, "alternatives": []}
    (plan,) = gmfmsim.load("cord_blood_dose", changes).question.plans
    assert [line for line in extrapolations(plan) if "infusions" in line] == said


def test_a_model_of_infusions_asks_how_many_the_next_trial_gives():
    changes = {"model.name": "infusions", "trial.setting": {"cell_class": "TNC_MNC"}, "alternatives": []}
    with pytest.raises(InputError, match=r"key trial\.setting\.infusions: is missing"):
        gmfmsim.load("cord_blood_dose", changes)
