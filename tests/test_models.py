"""The shipped models: what their heads say, their priors, and each on the shipped evidence."""

import re
from pathlib import Path

import numpy as np
import pytest

from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import fit_exact, refusal
from gmfmsim.model.gate import may_miss
from gmfmsim.model.priors.words import prior_effect

FILES = sorted((Path(__file__).parents[1] / "models").glob("*.toml"))
NAMES = [file.stem for file in FILES]
SAMPLED = {"robust": "Student-t", "dose_error": "an error in dose"}
EXAMPLE = {"ed50": 2.5e7, "hill": 1.7, "threshold": 2.2e7, "delta": 4e8, "bend": -0.15, "stick_1": 0.3, "stick_2": 0.6}


@pytest.fixture(scope="module")
def evidence():
    """By readings: all primary contrasts as tabled, or over all readings; those of nucleated cells into the blood."""
    tables = read_tables()
    cord_blood = {"cell_class": "TNC_MNC", "route": ["IV", "IV/IA"]}
    everything = select_contrasts(tables, Selection(default_use="primary"))
    blood = select_contrasts(tables, Selection(default_use="primary", **cord_blood))
    return {readings: read_contrasts(everything, tables, readings) for readings in ("as_tabled", "average")} | {
        "of doses": read_contrasts(blood, tables, "as_tabled")
    }


def declared(name):
    return read_model(ModelChoice(name=name))


def head_of(name):
    lines = FILES[NAMES.index(name)].read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("# ").strip() for line in lines if line.startswith("#")]


def formulas(lines, values):
    """Evaluate the lines `left = right` of a head, each after those that it uses, on top of `values`."""
    pattern = re.compile(r"(\w+)(?:\((?:d|x)\))? += (.+)")
    found = [m.groups() for line in reversed(lines) for part in line.split(",  ") if (m := pattern.fullmatch(part))]
    for left, right in found:
        text = re.sub(r"(I\d)\(x\)", r"\1", right).replace("^", "**")
        if " if " not in text:
            text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
        try:
            values[left] = eval(text, {"__builtins__": {}}, values)  # the text is a file of this repository
        except (NameError, SyntaxError, TypeError):
            continue  # a line on studies, readings or scales
    return values


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_a_model_is_its_curve(name):
    spec, numbers = declared(name), {"exp": np.exp, "log10": np.log10, "min": min, "max": max}
    for dose in (0.0, 2e6, 2.9e7, 9e7, 6e8):
        values = numbers | {p: EXAMPLE[p] for p in spec.shape.nonlinear} | {"d": dose}
        for _ in range(3):  # I3 stands below x, of which it is made
            values = formulas(head_of(name), values)
        expected = spec.shape.shape(dose, *(EXAMPLE[p] for p in spec.shape.nonlinear))
        assert values["f"] == pytest.approx(float(expected), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_a_model_names_its_parameters(name):
    spec, text = declared(name), re.sub(" +", " ", "\n".join(head_of(name)))
    assert [p for p in spec.parameters if not re.search(rf"\b{p}\b", text)] == []
    by_month = {"months": "mu_it = mu + tau (sqrt(rho) z_i + ", "course": "mu_it = mu + tau z_it, "}
    scatter = "".join(line for term, line in by_month.items() if term in spec.terms)
    assert f"\n{scatter or f'{spec.shape.amplitude}_i = {spec.shape.amplitude} + tau z_i, '}" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_one_proper_prior_in_its_limits(name):
    spec = declared(name)
    assert set(spec.priors) == set(spec.parameters)
    for parameter, prior in spec.priors.items():
        low, high = spec.limits.get(parameter, (-np.inf, np.inf))
        quantiles = prior.ppf([1e-6, 0.5, 1 - 1e-6])
        assert prior.proper
        assert ((quantiles > low) & (quantiles < high)).all()
        assert prior.unit
        assert prior.reason.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_priors_leave_room_for_what_trials_report_and_no_more(name):
    """At 1e8 cells/kg: gains of 5 points are possible, and the mean lies within the 100 points of the scale."""
    mean, new = prior_effect(declared(name), 1e8, size=20_000)
    assert 0.05 < (mean > 5).mean() < 0.4
    assert (np.abs(new) > 100).mean() < 1e-3
    assert np.median(np.abs(new - mean)) < 2


@pytest.mark.parametrize("readings", ["as_tabled", pytest.param("average", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_every_model_fits_the_shipped_evidence_or_says_why_not(name, readings, evidence):
    spec = declared(name)
    data = evidence["of doses" if spec.shape.uses_dose else readings]
    if name in SAMPLED:
        assert SAMPLED[name] in refusal(spec, data)
        return
    exact = fit_exact(spec, data)
    mean, sd = exact.moments(spec.shape.amplitude)
    assert np.isfinite(exact.log_marginal)
    assert exact.missed <= may_miss(exact)
    assert sd < spec.priors[spec.shape.amplitude].sd
    assert abs(mean) < 20


def test_classes_and_route_take_up_scatter(evidence):
    """tau within a class and route is below tau over all: the trials by other routes report more."""
    data = evidence["as_tabled"]
    apart, together = (fit_exact(declared(name), data) for name in ("cell_class", "random_effects"))
    assert apart.moments("tau")[0] < together.moments("tau")[0]
    assert apart.coefficient("route_effect", "other").mean > 0
