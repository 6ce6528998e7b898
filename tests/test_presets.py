"""The shipped designs and children: every figure sourced, the trials of the evidence as they were run, faults."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import examples
from damage import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names, shelf
from gmfmsim.files.toml import parse
from gmfmsim.report.show import show
from gmfmsim.trial import change_sd as spread
from gmfmsim.trial.analyses import AnyAnalysis
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.generate.arms import allocate
from gmfmsim.trial.operate import engine_of
from gmfmsim.trial.presets import read_children, read_design, resolve, titles
from gmfmsim.trial.protocol import protocol, sources

DESIGNS, CHILDREN = names("designs"), names("children")
OF_EVIDENCE = [name for name in DESIGNS if not name.startswith("next_") and name not in ("normal", "parallel")]
QUICK = settings(
    max_examples=examples(20, 60),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LABELS = {"text", "abstract", "table", "registry", "derived", "recalled", "assumed"}


@pytest.fixture(scope="module")
def designs():
    return {name: read_design(name) for name in DESIGNS}


@pytest.fixture(scope="module")
def tables():
    return read_tables().rows


def sourced(value: object, key: str = "") -> dict[str, dict]:
    """Every table of a dumped design that has a value and a source, by its key: read from the dump, not the classes."""
    if not isinstance(value, dict):
        return {}
    if "verified" in value:
        return {key: value}
    return {k: v for name, part in value.items() for k, v in sourced(part, f"{key}.{name}".lstrip(".")).items()}


def tags(union: object) -> set[str]:
    """The tags of the members of a union of specs."""
    members = get_args(get_args(union)[0])
    return {tag for m in members for name in ("kind", "method") if name in m.model_fields
            for tag in get_args(m.model_fields[name].annotation)}  # fmt: skip


# what is shipped


def test_the_shelf_holds_every_kind_and_every_analysis(designs):
    assert {d.kind for d in designs.values()} == tags(AnyDesign)
    assert {a.method for d in designs.values() for a in d.analyses} == tags(AnyAnalysis)
    assert {d.objective.claim for d in designs.values()} == {"superiority", "non_inferiority", "equivalence"}
    assert {d.children.kind for d in designs.values()} == {"normal", "population"}
    assert any(d.run_in for d in designs.values())
    assert any(d.children.centres for d in designs.values())
    assert [name for name, d in designs.items() if engine_of(d) == "two_arm"] == ["parallel"]


def test_every_children_file_reads_and_has_its_use(designs):
    used = {raw if isinstance(raw, str) else raw["population"] for raw in
            (tomllib.loads((shelf("designs") / f"{n}.toml").read_text())["children"] for n in DESIGNS)}  # fmt: skip
    assert all(read_children(name).title == titles("children")[name] for name in CHILDREN)
    assert used | {"mild_responds"} == set(CHILDREN)


@pytest.mark.parametrize("name", DESIGNS)
def test_every_figure_is_shown_with_source_and_label(name, monkeypatch, capsys):
    monkeypatch.setattr(spread, "TRIALS", 4)
    design = read_design(name)
    figures = sourced(design.model_dump(mode="json"))
    assert {row.key: (row.source, row.verified) for row in sources(design)} == {
        key: (figure["source"], figure["verified"]) for key, figure in figures.items()
    }
    assert len(figures) >= 10
    assert command(monkeypatch, "show", "design", name) == 0
    lines = capsys.readouterr().out.splitlines()
    for row in sources(design):
        at = next(i for i, line in enumerate(lines) if line.startswith(row.name) and line.endswith(": " + row.value))
        assert lines[at + 1] == f"    {row.verified}: {row.source}"
        assert row.verified in LABELS


def test_figures_that_were_not_read_again_say_so(designs):
    labels = {row.key: row.verified for row in sources(designs["next_parallel"])}
    assert labels["children.limit"] == "recalled"
    assert {key for key, label in labels.items() if label == "assumed"} >= {
        "children.visit_correlation", "children.response", "children.missed", "children.rate_spread"
    }  # fmt: skip


# the figures


def test_known_derived_figures_follow_from_what_they_name(designs):
    children = read_children("registry")
    half, n = (5.0 - 1.4) / 2, 31
    assert children.excess_sd.value == pytest.approx(half / stats.t.ppf(0.975, n - 1) * math.sqrt(n), abs=0.005)
    assert children.excess_sd.sigma == pytest.approx(1 / math.sqrt(2 * (n - 1)), abs=0.01)
    assert children.excess_growth.value == pytest.approx(math.log2(5.21 / 4.5), abs=0.005)
    assert children.measurement_error.value == pytest.approx((44 - 39) / 3.92, abs=0.005)
    assert children.response_sd.value == pytest.approx(math.sqrt(6.8**2 - 5.5**2), abs=0.005)
    assert children.response_sd.high == pytest.approx(math.sqrt(6.54**2 - 4.91**2), abs=0.05)
    assert designs["min2020"].drug_effect.value == pytest.approx(0.56 * (9.0 - 7.8), abs=0.005)
    assert designs["min2013"].dropout == pytest.approx(1 - (31 + 33) / (35 + 36), abs=5e-4)
    assert designs["sun2017"].dropout == pytest.approx(1 - 58 / 63, abs=5e-4)
    assert designs["lv2023"].dropout == pytest.approx(1 - (11 + 8) / 25, abs=5e-4)
    assert designs["luan2012"].dropout == pytest.approx(1 - 91 / 94, abs=5e-4)


@pytest.mark.parametrize(("name", "counts"), [("young_mild", [17, 24, 8, 14, 0]), ("volunteers", [4, 11, 18, 26, 29])])
def test_known_mixes_are_those_of_the_trials(name, counts):
    shares = [count / sum(counts) for count in counts]
    assert read_children(name).mix.value == pytest.approx(shares, abs=6e-4)


def test_known_volunteers_of_sun_2017_gained_what_the_curves_say():
    """The mean change by the curves of levels and ages, without spread of limits and rates, is the 6.9 of placebo."""
    children = read_children("young_mild")
    low, median, high = children.age.low, children.age.median, children.age.high
    age = np.concatenate([np.linspace(low, median, 2001), np.linspace(median, high, 2001)])[:, None]
    score = [np.array(children.limit.value) * (1 - np.exp(-children.rate * a)) for a in (age, age + 1)]
    change = float(np.mean((score[1] - score[0]) @ children.shares)) + children.volunteer_gain.value
    assert change == pytest.approx(6.9, abs=0.15)


@pytest.mark.parametrize("name", OF_EVIDENCE)
def test_known_trials_have_the_arms_of_the_evidence(designs, tables, name):
    """Sizes and doses are those of arms.csv where it has them; where it has no size the source says assumed."""
    (study,) = (row["study_id"] for row in tables["studies"] if row["study_id"].lower() == name)
    arms = {row["arm_id"]: row for row in tables["arms"] if row["study_id"] == study}
    known = {arm_id for arm_id, row in arms.items() if row["n"] is not None}
    design = designs[name]
    assert design.as_run is not None
    assert known == set() or {arm.name for arm in design.arms} <= known
    for arm in design.arms:
        row = arms.get(arm.name, {})
        assert row.get("n") in (None, arm.n), arm.name
        first_without = design.kind == "crossover" and arm.dose == 0
        if row.get("dose_total_cells_per_kg") is not None and not first_without:
            assert arm.dose == pytest.approx(row["dose_total_cells_per_kg"], rel=0.01), arm.name
    if not known:
        assert "assumed" in design.source


def test_trials_of_the_evidence_are_told_by_a_short_name(designs):
    """Before the colon of the title: author and year, different for each."""
    short = [designs[name].title.split(":")[0] for name in OF_EVIDENCE]
    assert len(set(short)) == len(short)
    assert all(re.fullmatch(r"[A-Z][A-Za-z ]+ (19|20)[0-9]{2}", name) for name in short)


def test_every_trial_that_carries_a_contrast_has_its_design(tables):
    studies = {row["study_id"].lower() for row in tables["contrasts"] if row["default_use"] == "primary"}
    assert len(studies) == 9
    assert studies <= set(OF_EVIDENCE)


# the protocol


def test_known_protocol():
    text = protocol(read_design("sun2017"))
    assert text.startswith(
        "Sun 2017: autologous cord blood or placebo, crossed over at 12 months. Children with cerebral palsy, GMFCS "
        "levels I to IV, 1.1 to 7 years old (half of them below 2.3), are enrolled. They are randomised 1:1 in "
        "permuted blocks: ucb (1.98e7 cells/kg, at once, 32 children) and ctrl (no cells in the first period, the "
        "same dose at the crossover, 31 children). A dose is the total over all infusions. Children cross over after "
        "12 months; those treated in the first period are supposed to keep the effect. The GMFM-66 is measured at "
        "baseline and 12 and 24 months after the first infusion; the endpoint is that at 12 months. The trial "
        "succeeds if the 95 % interval of the effect of ucb against ctrl lies above 0 (two-sided alpha 0.05). The "
        "primary analysis is a t test of the change to month 12."
    )


NOT_RANDOMISED = {"randomisation": {"method": "none"}}


def test_a_trial_that_was_not_randomised_says_so(designs):
    assert {name for name in DESIGNS if designs[name].randomisation.method == "none"} == {"chen2013", "luan2012"}
    assert "They are allocated 1:1 without randomisation: nsc (" in protocol(designs["chen2013"])
    cluster = read_design("next_cluster", overrides=NOT_RANDOMISED)
    assert "Whole clusters are allocated 1:1 without randomisation: " in protocol(cluster)
    assert not any("without randomisation" in protocol(designs[name]) for name in DESIGNS if "20" not in name)
    with pytest.raises(InputError, match="block randomisation"):
        read_design("next_twins", overrides=NOT_RANDOMISED)


def test_children_that_are_not_randomised_alternate(designs):
    design, rng = designs["luan2012"], np.random.default_rng(1)
    design, n = design.rerun()
    group = allocate(design, n, 3, None, None, rng).group
    assert np.bincount(group[:, 0]).tolist() == [45, 49]
    assert (group == group[:, :1]).all()
    assert (group[1:20] != group[:19]).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_a_protocol_says_every_number_of_its_design(designs, name):
    design = designs[name]
    n = design.at_least(40)  # whole clusters
    text = protocol(design, n)
    assert all(f"({size}" in text or f", {size} ch" in text for size in design.sizes(n).values())
    said = [*design.visits, design.month, design.alpha, design.objective.margin, 100 * design.dropout]
    said += [v for a in design.analyses for k, v in a.model_dump().items() if k in ("margin", "n", "mean", "sd") and v]
    said += [a.allowance for a in design.analyses if hasattr(a, "allowance")]
    priors = [a.prior for a in design.analyses if isinstance(getattr(a, "prior", None), list)]
    said += [value for prior in priors for component in prior for value in (component.mean, component.sd)]
    said += [arm.ratio for arm in design.arms if arm.ratio > 1]
    said += [getattr(design, key) for key in ("cluster_size",) if hasattr(design, key)]
    said += [getattr(design, k).value for k in ("icc", "pair_correlation", "carry_over") if hasattr(design, k)]
    said += [getattr(design, k).value for k in ("drug_effect", "period_effect") if hasattr(design, k)]
    said += [] if design.run_in is None else [design.run_in.months, 100 * design.run_in.loss.value]
    said += [design.randomisation.block or 0, design.children.centres.number if design.children.centres else 0]
    numbers = set(re.findall(r"[0-9]+(?:\.[0-9]+)?", text.removesuffix("Source: " + design.source)))
    assert {f"{value:g}" for value in said if value} <= numbers
    for arm in design.arms:
        assert arm.name in text
    assert "  " not in text
    assert text.count("..") == 0


def test_known_enrolment_with_a_run_in():
    """57 enrolled for 47 (Rah 2017), and the arithmetic for another n."""
    assert "so that 57 are enrolled for 47 randomised" in protocol(read_design("rah2017"))
    assert "so that 97 are enrolled for 80 randomised" in protocol(read_design("next_run_in"), 40)  # 96.97


# laying one declaration over another


DROPOUT = {"value": 0.2, "source": "a thought", "verified": "assumed"}


@QUICK
@given(name=st.sampled_from(DESIGNS), alpha=st.floats(1e-6, 0.5), dropout=st.floats(0, 0.99))
def test_an_override_changes_its_key_and_nothing_else(name, alpha, dropout):
    before = read_design(name)
    changes = {"alpha": alpha, "children": {"dropout": DROPOUT | {"value": dropout}}}
    after = read_design(name, overrides=changes)
    assert (after.alpha, after.dropout, after.children.dropout.source) == (alpha, dropout, "a thought")
    same = {"alpha": True, "children": {"dropout"}}
    assert after.model_dump(exclude=same) == before.model_dump(exclude=same)


@QUICK
@given(name=st.sampled_from(DESIGNS), number=st.integers(2, 400))
def test_any_size_makes_a_paragraph(name, number):
    design = read_design(name)
    text = protocol(design, design.at_least(number))
    assert text.endswith(".")
    assert "None" not in text
    assert "{" not in text


@pytest.mark.parametrize("name", DESIGNS)
def test_a_whole_declaration_reads_again_without_its_files(designs, name):
    """The name is then only a name: nothing is looked up."""
    whole = designs[name].model_dump(mode="json", exclude_none=True)
    assert resolve(whole | {"design": "gone.toml"}, None, "config.toml") == whole | {"design": "gone.toml"}
    again, faults = parse(AnyDesign, whole, "config.toml")
    assert (again, faults) == (designs[name], [])


def test_own_files_stand_on_shipped_ones(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "few.toml").write_text('population = "young_mild"\n[missed]\nvalue = 0.3\n' + SOURCE, encoding="utf-8")
    (folder / "trial.toml").write_text(
        'design = "next_parallel"\nchildren = "few.toml"\nalpha = 0.1\n', encoding="utf-8"
    )
    design = read_design("mine/trial.toml", beside=tmp_path)
    assert (design.design, design.alpha, design.children.missed.value) == ("mine/trial.toml", 0.1, 0.3)
    assert design.children.mix == read_children("young_mild").mix
    assert design.arms == read_design("next_parallel").arms
    other = read_design(folder / "trial.toml", overrides={"children": "severe"})
    assert other.children == read_children("severe")
    table = read_design(folder / "trial.toml", overrides={"children": {"population": "severe", "dropout": DROPOUT}})
    assert table.children.limit == read_children("severe").limit
    assert table.dropout == 0.2


# faults


SOURCE = 'source = "a thought"\nverified = "assumed"\n'
FAULTS = {
    "unknown design": ({"design": "sun2071"}, ["key design"], "nearest: sun2017"),
    "no such path": ({"design": "sun2017.tml.toml"}, ["key design"], "ending in .toml"),
    "path that is no .toml": ({"design": "/etc/passwd"}, ["key design"], "ending in .toml"),
    "design that is a number": ({"design": 5}, ["key design"], "a name, or the path"),
    "unknown key": ({"alhpa": 0.1}, ["key alhpa"], "nearest: alpha"),
    "unknown key of an analysis": ({"analyses": [{"method": "ancova", "covariate": 1}]}, ["key analyses.0.covariate"],
                                   "nearest: covariates"),
    "key of another analysis": ({"analyses": [{"method": "t", "margin": 4}]}, ["key analyses.0.margin"], "method"),
    "unknown analysis": ({"analyses": [{"method": "anvoca"}]}, ["key analyses.0"], "nearest: 'ancova'"),
    "analysis without method": ({"analyses": [{"margin": 1}]}, ["key analyses.0"], "a key method"),
    "analysis of another kind": ({"analyses": [{"method": "paired_t"}]}, ["sections"], "no analysis paired_t"),
    "drug beside cells alone": ({"arms": [{"name": "none", "dose": "0 cells/kg"},
                                          {"name": "both", "dose": "5e7 cells/kg", "drug": True}]}, ["sections"],
                                "an arm with drug only in a factorial design"),
    "responders under another claim": ({"analyses": [{"method": "responder", "margin": 4}],
                                        "objective": {"claim": "non_inferiority", "margin": 1}},
                                       ["sections"], "claim superiority for a responder analysis"),
    "mixed model without baseline": ({"analyses": [{"method": "mmrm", "covariates": ["level"]}]},
                                     ["key analyses.0.covariates"], "baseline among them"),
    "blocks without randomisation": ({"randomisation": {"method": "none", "block": 4}}, ["key randomisation"],
                                     "no block where the method is simple or none"),
    "strata without randomisation": ({"randomisation": {"method": "none", "block": 4, "strata": ["level"]}},
                                     ["key randomisation"], "exactly where the method is stratified"),
    "unknown kind of children": ({"children": {"kind": "poplation"}}, ["key children"], "nearest: 'population'"),
    "unknown children": ({"children": "young_midl"}, ["key children"], "nearest: young_mild"),
    "unknown population": ({"children": {"population": "regsitry"}}, ["key children.population"], "nearest: registry"),
    "population that is a list": ({"children": {"population": ["registry"]}}, ["key children.population"], "a name"),
    "children that are a number": ({"children": 3}, ["key children"], "a table of keys and values"),
    "value without source": ({"children": {"missed": {"value": 0.1}}},
                             ["key children.missed.source", "key children.missed.verified"], "required"),
    "unknown key of a figure": ({"children": {"missed": DROPOUT | {"vlue": 1}}}, ["key children.missed.vlue"],
                                "nearest: value"),
    "unknown key of children": ({"children": {"dropuot": DROPOUT}}, ["key children.dropuot"], "nearest: dropout"),
    "unknown label": ({"children": {"missed": DROPOUT | {"verified": "certain"}}}, ["key children.missed.verified"],
                      "'recalled'"),
    "share of growth above one": ({"children": {"growth_share": DROPOUT | {"value": 1.2}}},
                                  ["key children.growth_share"], "a share from 0 to 1"),
    "worthless scale": ({"children": {"scale": DROPOUT | {"value": 0.0}}}, ["key children.scale"], "0.05 to 20"),
    "nothing reported": ({"children": {"reported": {"month": 12.0, "source": "a thought", "verified": "assumed"}}},
                         ["key children.reported"], "one of them at least"),
    "all at once": ({"alpha": 2, "children": {"missed": DROPOUT | {"value": 3}}, "visits": []},
                    ["key visits", "key children.missed", "key alpha"], "share"),
    "all at once with children that do not exist": ({"alpha": 2, "children": "young_midl"},
                                                    ["key children", "key alpha"], "young_mild"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_what_where_and_what_is_allowed(fault):
    changes, where, allowed = FAULTS[fault]
    with pytest.raises(InputError) as refusal:
        read_design("next_parallel", overrides=changes)
    found = refusal.value.faults
    assert [f.where for f in found] == where
    assert allowed in " ".join(f.allowed for f in found)
    assert {f.file for f in found} == {"overrides"}


def test_a_design_of_two_arms_needs_them(tmp_path):
    text = (shelf("designs") / "next_parallel.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(text.replace('kind = "parallel"', 'kind = "paralel"'), encoding="utf-8")
    with pytest.raises(InputError, match="nearest: 'parallel'"):
        read_design(tmp_path / "own.toml")


def test_faults_of_a_children_file_name_it_and_come_with_those_of_the_design(tmp_path):
    (tmp_path / "few.toml").write_text('population = "registry"\nmised = 1\n', encoding="utf-8")
    text = (shelf("designs") / "next_parallel.toml").read_text(encoding="utf-8")
    text = text.replace('children = "preschool"', 'children = "few.toml"').replace("visits = [6, 12]", "visits = [-1]")
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read_design("own.toml", beside=tmp_path)
    assert [(f.file, f.where) for f in refusal.value.faults] == [
        ("few.toml", "key mised"),
        ("own.toml", "key visits.0"),
    ]
    assert "nearest: missed" in refusal.value.faults[0].allowed


@pytest.mark.parametrize(
    ("file", "content"),
    [("own.toml", 'design = "own.toml"\n'), ("own.toml", 'kind = "pairs"\nchildren = "few.toml"\n')],
)
def test_files_that_name_one_another_end(tmp_path, file, content):
    (tmp_path / file).write_text(content, encoding="utf-8")
    (tmp_path / "few.toml").write_text('population = "few.toml"\n', encoding="utf-8")
    with pytest.raises(InputError, match="without end"):
        read_design(file, beside=tmp_path)


def test_tables_nested_deep_are_refused(tmp_path):
    (tmp_path / "deep.toml").write_text("[" + ".".join(["children"] * 30) + "]\nvalue = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match="nested too deep"):
        read_design("deep.toml", beside=tmp_path)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**6), st.floats(), st.text(max_size=8), st.lists(st.integers()),
    st.dictionaries(st.sampled_from(["kind", "population", "value", "method"]), st.text(max_size=3), max_size=2),
)  # fmt: skip


@QUICK
@given(data=st.data())
def test_a_damaged_declaration_reads_or_is_refused_in_words(data):
    whole = read_design(data.draw(st.sampled_from(DESIGNS))).model_dump(mode="json", exclude_none=True)
    node = whole
    while True:
        key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JUNK)
    try:
        declared = resolve(whole, None, "damaged.toml")
        design, faults = parse(AnyDesign, declared, "damaged.toml")
    except InputError as error:
        design, faults = None, error.faults
    assert (design is None) == bool(faults)
    assert all(fault.where and fault.problem and fault.allowed for fault in faults)
    if design is not None:
        assert protocol(design)


# the command line and the package


def test_the_package_carries_designs_and_children():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    carried = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {kind: carried.get(kind) for kind in ("designs", "children")} == {
        "designs": "gmfmsim/designs",
        "children": "gmfmsim/children",
    }


def test_show_design_for_machines(monkeypatch, capsys):
    assert command(monkeypatch, "show", "design", "min2020", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["protocol"] == protocol(read_design("min2020"))
    assert tomllib.loads(found["toml"])["drug"] == "erythropoietin"
    design, faults = parse(AnyDesign, found["resolved"], "json")
    assert (design, faults) == (read_design("min2020"), [])
    assert {row["key"] for row in found["sources"]} == set(sourced(found["resolved"]))


def test_show_design_as_its_file(monkeypatch, capsys):
    assert command(monkeypatch, "show", "design", "next_doses", "--toml") == 0
    assert capsys.readouterr().out == (shelf("designs") / "next_doses.toml").read_text(encoding="utf-8")
    assert show("children", "registry") == (shelf("children") / "registry.toml").read_text(encoding="utf-8")


def test_list_names_designs_and_children(monkeypatch, capsys):
    assert command(monkeypatch, "list", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["designs"] == {name: read_design(name).title for name in DESIGNS}
    assert found["children"] == {name: read_children(name).title for name in CHILDREN}


def test_an_unknown_design_is_told_with_the_nearest(monkeypatch, capsys):
    assert command(monkeypatch, "show", "design", "sun2071") == 2
    assert "nearest: sun2017" in capsys.readouterr().err
