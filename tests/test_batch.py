"""Many data sets at once against one fit each."""

import numpy as np
import pytest

from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import Refused, posterior
from gmfmsim.model.exact.batch import fit_many, prepare_batch
from gmfmsim.model.structure import structure

GMFM66 = np.array([True, True, False, True, False, True])
SHARED = np.diag([1.0, 2.0, 1.5, 1.2, 0.8, 2.5])
SHARED[0, 1] = SHARED[1, 0] = 0.6
STUDY = ["a", "a", "b", "c", "d", "e"]
DOSE = np.array([2e7, 1e8, 5e7, 3e7, 6e7, 2e7])


def data_of(effects, gmfm66=GMFM66):
    return contrasts_from_arrays(effects, SHARED, study=STUDY, dose=DOSE, gmfm66=gmfm66)


def figures(model, data) -> dict[str, float]:
    """Return what fit_many gives, from one fit."""
    fit = posterior(structure(model, data))
    amplitude = fit.coefficient(model.shape.amplitude)
    return {
        "mean": amplitude.mean,
        "sd": amplitude.sd,
        "above_0": amplitude.above(),
        "new_above_0": fit.new_study().above(),
        "tau_mean": fit.moments("tau")[0],
        "log_marginal": fit.log_marginal,
    }


@pytest.mark.parametrize(
    ("name", "gmfm66", "tolerance"),
    [
        pytest.param("random_effects", np.ones(6, bool), 1e-6, marks=pytest.mark.slow, id="one parameter"),
        pytest.param("random_effects", GMFM66, 1e-6, id="two parameters"),
        pytest.param("loglinear", GMFM66, 1e-6, marks=pytest.mark.slow, id="a curve"),
    ],
)
def test_reference_many_fits_equal_one_by_one(name, gmfm66, tolerance):
    model, rng = read_model(ModelChoice(name=name)), np.random.default_rng(5)
    batch = prepare_batch(structure(model, data_of(np.zeros(6), gmfm66)))
    effects = np.concatenate([rng.normal(2, 2, (6, 6)), rng.normal(0, 0.2, (2, 6)), rng.normal(-4, 6, (4, 6))])
    many = fit_many(batch, effects)
    assert many["outermost"].max() < 1e-8
    for i, y in enumerate(effects):
        for figure, value in figures(model, data_of(y, gmfm66)).items():
            assert abs(many[figure][i].item() - value) < tolerance, (i, figure)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4])
def test_reference_many_emax_fits_equal_one_by_one(size):
    tables, model = read_tables(), read_model(ModelChoice(name="emax"))
    wanted = Selection(default_use=["primary"], cell_class=["TNC_MNC"], route=["IV", "IV/IA"])
    data = read_contrasts(select_contrasts(tables, wanted), tables, "as_tabled")
    effects = np.random.default_rng(6).normal(2, 2, (size, data.sizes["contrast"]))
    many = fit_many(prepare_batch(structure(model, data)), effects)
    for i, y in enumerate(effects):
        for figure, value in figures(model, data.assign(effect=(("reading", "contrast"), y[None]))).items():
            # three parameters: both engines are right to some 1e-6 standard deviations of the amplitude, here 4 to 7
            assert abs(many[figure][i].item() - value) < 2e-5, (i, figure)


def test_known_data_sets_do_not_see_each_other():
    model = structure(read_model(ModelChoice(name="random_effects")), data_of(np.zeros(6), np.ones(6, bool)))
    batch, effects = prepare_batch(model), np.random.default_rng(7).normal(2, 2, (5000, 6))
    many, few = fit_many(batch, effects), fit_many(batch, effects[4900:])
    for name in many:  # a matrix product of another size may round another way
        np.testing.assert_allclose(many[name].values[4900:], few[name].values, rtol=1e-11, atol=1e-13)


def test_known_data_beyond_all_nodes_are_told():
    tau = {"dist": "half_student_t", "df": 5, "scale": 0.5, "unit": "points", "reason": "a long tail"}
    model = read_model(ModelChoice(name="random_effects", priors={"tau": tau}))
    data = contrasts_from_arrays(np.zeros(6), np.ones(6))
    batch = prepare_batch(structure(model, data))
    near, far = fit_many(batch, np.array([[1.0, 1.2, 0.8, 1.1, 0.9, 1.0], [-9e3, 9e3, -9e3, 9e3, -9e3, 9e3]]))[
        "outermost"
    ].values
    assert near < 1e-9
    assert far > 0.1


def test_known_what_is_refused():
    model, data = read_model(ModelChoice(name="random_effects")), data_of(np.zeros(6))
    data["log_se_sd"].values[0, 0] = 0.3
    with pytest.raises(Refused, match="known standard errors"):
        prepare_batch(structure(model, data))
    batch = prepare_batch(structure(model, data_of(np.zeros(6), np.ones(6, bool))))
    for wrong in (np.zeros(6), np.zeros((2, 5)), np.full((1, 6), np.nan)):
        with pytest.raises(ValueError, match=r"need \(data sets, 6\), all finite"):
            fit_many(batch, wrong)
