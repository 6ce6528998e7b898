"""What `show model` says of a model: every parameter and prior, what the engines can do, and the page."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.integrate import quad

from gmfmsim.dist.positive import LogStudentT
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.files.shelf import find, names
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.describe import BLOCKS, PriorRow, as_json, as_text, describe, head_comment, mathematics
from gmfmsim.model.priors.tau import harmonic_se
from gmfmsim.report.model import band_figure, prior_figure, write_model_page

MODELS = names("models")
PRIORS = {
    "mu": {"dist": "normal", "mean": 0.0, "sd": 10.0},
    "slope": {"dist": "normal", "mean": 0.0, "sd": 10.0},
    "tau": {"dist": "half_normal", "sd": 2.0},
    "nu": {"dist": "gamma", "shape": 2.0, "rate": 0.1},
    "tau_class": {"dist": "half_cauchy", "scale": 1.0},
    "tau_group": {"dist": "half_student_t", "df": 3.0, "scale": 1.0},
    "tau_arm": {"dist": "exponential", "mean": 1.0},
    "route_effect": {"dist": "normal", "mean": 0.0, "sd": 2.0},
    "month_effect": {"dist": "normal", "mean": 0.0, "sd": 2.0},
    "rho": {"dist": "beta", "a": 2.0, "b": 1.0},
    "age_slope": {"dist": "normal", "mean": 0.0, "sd": 1.0},
    "gmfcs_slope": {"dist": "normal", "mean": 0.0, "sd": 1.0},
    "claimed_age_slope": {"dist": "normal", "mean": 0.0, "sd": 1.0},
    "design_bias": {"dist": "normal", "mean": 0.0, "sd": 2.0},
    "small_study": {"dist": "normal", "mean": 0.0, "sd": 4.0},
    "r": {"dist": "truncated_normal", "mean": 0.56, "sd": 0.1, "lower": 0.3, "upper": 1.0},
}
SE = np.array([0.8, 1.3, 2.1])


def model(curve="constant", *, title="A model", unit="points", **kept) -> ModelSpec:
    """Return a model of one's own; `priors` replace those above."""
    changed = kept.pop("priors", {})
    bare = ModelSpec.model_validate({"title": title, "curve": curve, "priors": {}} | kept)
    told = {"unit": unit, "reason": f"a reason in {unit}"}
    return ModelSpec.model_validate(
        bare.model_dump() | {"priors": {n: (PRIORS | changed)[n] | told for n in bare.parameters}}
    )


def density(x: float, distribution) -> float:
    return float(np.exp(distribution.logpdf(x)))


def contrasts(**covariates):
    return contrasts_from_arrays(
        np.array([1.0, 2.0, 0.5]), SE**2, dose=np.array([1e7, 5e7, 1e8]), covariates=covariates
    )


@pytest.fixture(scope="module")
def described():
    """Every shipped model, described on the shipped evidence."""
    return {
        name: describe(read_model(ModelChoice(name=name)), source=find("models", name).read_text(encoding="utf-8"))
        for name in MODELS
    }


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_has_its_prior_in_text_and_json(described, name):
    spec, found = read_model(ModelChoice(name=name)), described[name]
    assert tuple(row.name for row in found.priors) == spec.parameters
    text, plain = as_text(found), json.loads(json.dumps(as_json(found), allow_nan=False))
    assert "nan" not in text
    assert spec.title in text
    assert found.comment[0] in text
    for row, written in zip(found.priors, plain["priors"], strict=True):
        assert f"  {row.name} ~ {row.distribution}" in text
        assert f"{row.low:.3g} to {row.high:.3g} ({spec.priors[row.name].unit})" in text
        assert written["reason"] == spec.priors[row.name].reason
        assert written["reason"].split()[-1] in text


@pytest.mark.parametrize("name", MODELS)
def test_known_interval_holds_95_per_cent_of_the_density(described, name):
    """The density integrates to what the quantiles claim: 2.5 % below the interval, half below the median."""
    for row in described[name].priors:
        start, median = row.distribution.ppf([1e-9, 0.5])
        bounds = [float(start), row.low, float(median), row.high]
        mass = [quad(density, a, b, args=(row.distribution,))[0] for a, b in pairwise(bounds)]
        assert mass == pytest.approx([0.025, 0.475, 0.475], abs=1e-6), row.name


@pytest.mark.parametrize("name", MODELS)
def test_what_nuts_samples_is_what_pymc_has(described, name):
    """The list of the engine comes from the structure, the graph from PyMC."""
    exact, nuts = described[name].engines
    nodes = {node.name: node for node in described[name].graph}
    assert nuts.why_not is None
    assert sorted(nuts.by_number) == sorted(n.name for n in nodes.values() if n.kind == "sampled")
    assert nodes["effect"].parents == ("y",)
    free = {n.name for n in nodes.values() if n.kind == "sampled"}
    assert free - set(nodes["y"].parents) <= {"nu"}  # which acts on y through the study effects
    seen = set()
    for node in described[name].graph:
        assert set(node.parents) <= seen
        seen.add(node.name)
    assert (exact.why_not is None) == bool(exact.in_closed_form)
    assert exact.why_not or set(exact.by_number) >= set(described[name].nonlinear)


def test_a_model_with_nearly_every_term_is_described():
    terms = ["cell_class", "route", "group", "arms", "months", "design_bias", "small_study", "dose_error"]
    spec = model("linear", heterogeneity="student_t", terms=terms)
    found = describe(spec)
    nuts = found.engines[1]
    assert set(nuts.by_number) == {n.name for n in found.graph if n.kind == "sampled"}
    assert nuts.in_closed_form == ("deviations by study", "deviations by visit", "deviations by arm")
    by_name = {node.name: node for node in found.graph}
    assert by_name["class_effect"].kind == "derived"
    assert set(by_name["class_effect"].parents) == {"tau_class", "class_effect_offset"}
    assert by_name["study_precision"].parents == ("nu",)
    assert by_name["study_precision"].distribution.startswith("Gamma(")


def test_known_mathematics():
    lines = mathematics(model("linear", terms=["cell_class", "arms", "design_bias"]))
    assert "slope f(dose) = slope dose / 1e8   dose in cells/kg" in lines
    assert "slope_c = slope + tau z_i,  z_i ~ Normal(0, 1)" in lines
    assert "slope_c += class_effect[class],  class_effect ~ Normal(0, tau_class)" in lines
    assert any(line.startswith("theta_c += design_bias") for line in lines)
    assert lines[-1] == "in a new study: slope + tau z + tau_arm v,  z ~ Normal(0, 1),  v ~ Normal(0, 1)"
    robust = mathematics(model(heterogeneity="student_t"))
    assert robust[-1] == "in a new study: mu + tau z,  z ~ StudentT(nu)"


def test_known_head_comment():
    assert head_comment("# One line\n#\n#   y = x\n\n# not this\ntitle = 1\n") == ("One line", "", "  y = x")
    assert head_comment('title = "x"\n# later') == ()


def test_known_plot_of_a_normal_prior():
    """Symmetric; the first block is as high as the density at the middle of the first of 32 parts."""
    row = describe(model(), data=contrasts(), graph=False).priors[0]
    x, height, on_log = row.outline(32)
    assert not on_log
    assert x == pytest.approx(-x[::-1])
    assert height == pytest.approx(np.exp(-(x**2) / 200) / np.exp(-(x[15] ** 2) / 200))
    plot = next(p for p in as_text(describe(model(), data=contrasts(), graph=False)).splitlines() if "█" in p)
    low, blocks, high = plot.split()
    assert (low, high) == ("-25.8", "25.8")
    assert blocks == blocks[::-1]
    assert len(blocks) == 32
    assert (blocks[0], blocks[16]) == (BLOCKS[0], BLOCKS[-1])


@pytest.mark.parametrize(
    ("prior", "on_log"),
    [
        ({"dist": "half_normal", "sd": 2.0}, False),
        ({"dist": "exponential", "mean": 1.0}, False),
        ({"dist": "half_cauchy", "scale": 1.0}, True),
        ({"dist": "lognormal", "median": 3e7, "sigma": 1.0}, True),
    ],
)
def test_heavy_tails_are_drawn_on_a_log_axis(prior, on_log):
    row = describe(model(priors={"tau": prior}), data=contrasts(), graph=False).priors[1]
    x, height, drawn_on_log = row.outline(50)
    assert drawn_on_log == on_log
    assert height.max() == 1
    steps = np.diff(np.log(x) if on_log else x)
    assert steps == pytest.approx(np.full(49, steps[0]))


def test_an_improper_prior_has_no_interval_and_only_the_exact_engine():
    found = describe(model(priors={"tau": {"dist": "improper_uniform"}}), data=contrasts())
    tau, (exact, nuts) = found.priors[1], found.engines
    assert (tau.low, tau.median, tau.high) == (None, None, None)
    assert as_json(found)["priors"][1]["central_95"] == [None, None]
    assert tau.outline(20).density == pytest.approx(np.ones(20))
    assert (exact.why_not, nuts.why_not) == (None, "tau has an improper prior")
    assert found.graph == ()
    assert exact.by_number == found.nonlinear == ("tau",)  # every contrast is on the GMFM-66: nothing hangs on r
    assert "nuts: no, tau has an improper prior" in as_text(found)
    assert isinstance(prior_figure(tau), Figure)


def test_a_prior_of_the_standard_errors_is_the_one_that_the_data_give():
    tau = describe(model(priors={"tau": {"dist": "du_mouchel"}}), data=contrasts(), graph=False).priors[1]
    assert tau.median == pytest.approx(harmonic_se(SE), rel=1e-12)
    assert tau.unit == "points"


def test_what_a_model_lacks_is_said():
    found = describe(model(terms=["age", "gmfcs"]), data=contrasts(age=[4.0, np.nan, 5.0], gmfcs=[2.0, 3.0, 3.0]))
    assert [engine.why_not for engine in found.engines] == ["the age is not known for study_2 [2]"] * 2
    assert (found.graph, found.nonlinear) == ((), ())
    assert len(found.priors) == 5
    unknown = describe(model(terms=["age"], priors={"tau": {"dist": "du_mouchel"}}), data=contrasts())
    assert unknown.priors[1].outline(10) is None
    assert "(cannot be drawn)" in as_text(unknown)


def test_too_wide_a_prior_is_not_drawn():
    """The quantiles of this one exceed any double: neither plot nor a number in JSON, which knows no infinity."""
    wide = LogStudentT(dist="log_student_t", df=0.5, location=0.0, scale=100.0)
    found = describe(model(), data=contrasts(), graph=False)
    row = replace(found.priors[1], distribution=wide, high=float(wide.ppf(0.975)))
    assert row.high == np.inf
    assert row.outline(10) is None
    assert prior_figure(row) is None
    changed = replace(found, priors=(row,))
    assert "(cannot be drawn)" in as_text(changed)
    assert json.loads(json.dumps(as_json(changed), allow_nan=False))["priors"][0]["central_95"][1] is None


def test_the_page_shows_every_prior_and_stands_alone(tmp_path):
    spec = read_model(ModelChoice(name="emax"))
    source = find("models", "emax").read_text(encoding="utf-8")
    write_model_page(tmp_path / "emax.html", spec, source=source)
    page = (tmp_path / "emax.html").read_text(encoding="utf-8")
    for name in (*(f"prior-{p}" for p in spec.parameters), "band", "graph"):
        assert f'id="{name}-' in page
    for prior in spec.priors.values():
        assert prior.reason in page
    assert "<script" not in page
    assert 'src="' not in page
    assert [p.name for p in tmp_path.iterdir()] == ["emax.html"]


def test_the_page_escapes_what_a_file_says(tmp_path):
    hostile = "<script>alert(1)</script> $x_$ & </svg>"
    spec = model(title=hostile, unit=hostile)
    write_model_page(tmp_path / "own.html", spec, source=f"# {hostile}\n", data=contrasts())
    page = (tmp_path / "own.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; $x_$ &amp; &lt;/svg&gt;") >= 5
    assert page.count("</svg>") == page.count("<svg")


def test_a_band_needs_a_dose_and_draws():
    data = contrasts()
    assert band_figure(model(), data) is None
    assert band_figure(model("linear", priors={"tau": {"dist": "improper_uniform"}}), data) is None


def test_known_band_of_a_linear_curve():
    """Without scatter the 95 % band of slope dose / 1e8 is 1.96 x 10 x dose / 1e8 either way."""
    spec = model("linear", priors={"tau": {"dist": "half_normal", "sd": 1e-9}})
    ax = band_figure(spec, contrasts()).axes[0]
    outline = np.concatenate([part.get_paths()[0].vertices for part in ax.collections[:2]])
    assert outline[:, 1].max() == pytest.approx(1.96 * 10 * 1e9 / 1e8, rel=0.01)  # 10,000 draws, stratified
    assert outline[:, 0].max() == pytest.approx(1e9)


def test_prior_rows_are_values():
    row = describe(model(), data=contrasts(), graph=False).priors[0]
    assert isinstance(row, PriorRow)
    with pytest.raises(AttributeError):
        row.low = 0.0
