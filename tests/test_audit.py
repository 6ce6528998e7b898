"""The audit: what it says of the shipped tables, silence on clean ones, and one planted fault at a time."""

import dataclasses
import hashlib
import json
import math
import random
import shutil

import pytest
from clean_evidence import clean_evidence
from hypothesis import given, settings
from hypothesis import strategies as st

from gmfmsim.evidence.audit import CHECKS, SEVERITIES, WIDTH, as_json, audit, report
from gmfmsim.evidence.audit.derived import recompute
from gmfmsim.evidence.audit.finding import Finding
from gmfmsim.evidence.formulas.printed import decimals, half_unit, same_figure
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES
from gmfmsim.evidence.spread import out_of_line, study_spreads

CHECK_NAMES = {check.__name__ for check in CHECKS}


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def shipped(tables):
    return audit(tables)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return read_tables(clean_evidence(tmp_path_factory.mktemp("clean")))


def words(finding: Finding) -> str:
    return " | ".join((finding.printed, finding.expected, finding.effect))


def said(findings: list[Finding], check: str, study: str) -> list[str]:
    return [words(f) for f in findings if (f.check, f.study) == (check, study)]


# what the audit says of the shipped tables

SHIPPED = {
    "SDs of 1.4 to 3 that fit as standard errors, both months": (
        ("spread_is_se", "Huang2018"),
        ("SD 1.66", "2.44", "1.45", "2.96", "8.63, 12.7, 7.53 and 15.4", "g 2.20 becomes 0.42", "g 2.33 becomes 0.45"),
    ),
    "standard errors that would give 3.4 as SDs": (
        ("spread_is_se", "Gu2020"),
        ("8.947 and 8.807", "3.39", "(g 0.75)", "p 0.037 is printed", "p 0.022", "1e-12 as SDs"),
    ),
    "an SD that no other trial comes near": (
        ("sd_out_of_line", "Huang2018"),
        ("SD 1.45 of ctrl at month 12", "as the other 5 studies", "median SD of 9.22"),
    ),
    "interval around 7.42": (
        ("interval_not_centred", "Zarrabi2022"),
        ("7.1 ", "2.08 to 12.76", "estimate 7.42", "1.44"),
    ),
    "d of 0.92 for 0.57": (("d_does_not_follow", "Amanat2021"), ("0.92", "0.57 (Hedges g; Cohen d 0.58)", "8.77")),
    "p of 0.67 for an interval of 3.89 to 7.59": (("p_does_not_follow", "Qu2022"), ("p = 0.67", "by the interval")),
    "one sham arm for two trials": (
        ("children_counted_twice", "Amanat2021 and Zarrabi2022"),
        ("its 36 children counted once", "covariance is 4.13", "correlation 0.46", "2.57, as if independent 2.14"),
    ),
    "an extension": (("children_counted_twice", "Min2020 and Suh2023"), ("children of Min2020", "up to 92 children")),
    "a pool and its members": (
        ("children_counted_twice", "FinchEdmondson2025"),
        (
            "Cox2022, Crompton2022, Kang2015, Min2013, Min2020",
            "Sun2021sib, Sun2022 and Zarrabi2022",
            "325 children twice",
        ),
    ),
    "halves of an arm": (("children_counted_twice", "Sun2017"), ("158 in all, and 63 enrolled", "ucb (32) may be")),
    "children in no arm": (("counts_differ", "Sun2022"), ("91 enrolled", "90 in all", "1.1 %")),
    "a sum of 67": (("counts_differ", "Liu2017"), ("68 children in msc+mnc", "67: 33 (msc) and 34 (mnc)")),
    "n 18 or 17": (("counts_differ", "Kang2015"), ("n 18 against n 17", "0.910 instead of 0.884")),
    "SD 5.6 or 5.5": (("counts_differ", "Sun2017"), ("sd 5.6 against sd 5.5",)),
    "n 35 or 36": (("counts_differ", "Min2013"), ("n 35 against n 36",)),
    "fever in 7 of 19 or 2 of 14": (("counts_differ", "Gu2020"), ("events 7, n 19 against events 2, n 14", "14.3 %")),
    "PET in 3 of 5 or 3 of 8": (
        ("counts_differ", "Gu2020"),
        ("pet_improved: n 5 against n 8", "37.5 % instead of 60.0"),
    ),
    "responders 48 or 49": (("counts_differ", "Boruczkowski2019"), ("events 48 against events 49", "90.7 %")),
    "a claim of 6e8 cells": (("counts_differ", "Sun2017"), ("6e+08 cells", "is Rah2017")),
    "36 of an arm of 35": (("percentage_denominator", "Min2013"), ("n 36", "at most 35")),
    "per cent of nobody": (("percentage_denominator", "Romodanov_fetal"), ("50 %", "70 %", "59 %", "63 %")),
    "per cent of all diagnoses": (("percentage_denominator", "Miao2015"), ("47 per cent", "Over all diagnoses")),
    "the largest trial": (
        ("unpublished", "RegNCT01929434"),
        ("300 children, 54 % of the 556", "no trial of the tables"),
    ),
    "GMPM without GMFM": (("no_usable_contrast", "Min2020"), ("46 children treated; contrasts on GMPM",)),
    "imputed SDs": (("missing_spread", "Liu2017"), ("standard error 2.45, an SD of 10.2", "an SD of 8.81")),
}


@pytest.mark.parametrize("case", SHIPPED)
def test_known_faults_of_the_shipped_tables_are_named(shipped, case):
    (check, study), figures = SHIPPED[case]
    texts = said(shipped, check, study)
    assert any(all(figure in text for figure in figures) for text in texts), texts


def test_known_silence_of_the_shipped_tables(shipped):
    found = {(f.check, f.study) for f in shipped}
    assert (
        not {("d_does_not_follow", "Zarrabi2022"), ("spread_is_se", "Sun2021sib"), ("unpublished", "Cox2022")} & found
    )
    assert [f for f in shipped if f.check == "derived_columns"] == []
    assert [f.study for f in shipped if f.check == "unpublished"] == [
        *("RegNCT01072370", "RegNCT01639404", "RegNCT01832454", "RegNCT01929434", "RegNCT02025972")
    ]
    assert {f.study for f in shipped if f.check == "no_usable_contrast"} == {
        "Chen2013",
        "Cox2022",
        "Luan2012",
        "Min2020",
    }
    differing = [words(f) for f in shipped if f.check == "counts_differ" and f.study == "Min2013"]
    assert len(differing) == 1  # 6.6813 and 6.7 are one SD, rounded


def test_rows_are_lines_of_the_tables(tables, shipped):
    for finding in shipped:
        lines = {r["row"]: r for r in tables.rows[finding.table]}
        assert finding.rows
        for row in finding.rows:
            names = [v for k, v in lines[row].items() if k in ("study_id", "meta_id")]
            assert names[0] in finding.study or finding.table == "studies", finding
    assert {f.check for f in shipped} <= CHECK_NAMES


# the derived columns of the shipped tables


def test_known_derived_columns_of_the_shipped_tables_follow(tables):
    found = recompute(tables)
    answered = {r["row"] for r in found if (r["table"], r["column"]) == ("contrasts", "md100")}
    assert answered == {r["row"] for r in tables.rows["contrasts"] if r["md100"] is not None}
    assert len(answered) == 32
    for column in ("md100_se", "hedges_g", "hedges_g_se", "control_se100", "se"):
        rows = {r["row"] for r in found if (r["table"], r["column"]) == ("contrasts", column)}
        assert rows >= {r["row"] for r in tables.rows["contrasts"] if r["row"] in answered and r[column] is not None}
    for r in found:
        assert r["recomputed"] is not None, r
        assert abs(r["stored"] - r["recomputed"]) <= r["tolerance"], r
    exact = [r for r in found if r["way"] == "two arms" and r["column"] not in ("ci_low", "ci_high", "estimate")]
    assert len(exact) > 200
    assert max(abs(r["stored"] - r["recomputed"]) for r in exact) <= 2e-4  # four stored decimals


def test_known_ways_to_the_stored_effects(tables):
    ways = {r["row"]: r["way"] for r in recompute(tables) if (r["table"], r["column"]) == ("contrasts", "md100_se")}
    studies = {r["row"]: (r["study_id"], r["measure"]) for r in tables.rows["contrasts"]}
    by_way = {way: {studies[row] for row, w in ways.items() if w == way} for way in set(ways.values())}
    assert by_way["interval"] == {("Sun2022", "MD"), ("Amanat2021", "MD"), ("Zarrabi2022", "MD")}
    assert by_way["imputed SD"] == {("Huang2018", "MD_imputed_sd"), ("Liu2017", "MD_imputed_sd")}
    assert set(by_way) == {"interval", "imputed SD", "two arms"}


@pytest.mark.parametrize(("month", "printed"), [(6, 8.8), (12, 10.2)])
def test_known_imputed_sd_is_the_pooled_one_of_the_controlled_trials(tables, month, printed):
    """sqrt(sum (n - 1) sd^2 / sum (n - 1)) over the arms of the field, without single arms and the suspect study."""
    single = {s["study_id"] for s in tables.rows["studies"] if s["design"] == "single_arm"}
    arms = [
        (r["n"] - 1, r["sd"] * 100 / r["scale_max"])
        for spread in study_spreads(tables, month)
        if spread.study not in single | out_of_line(tables)
        for r in spread.rows
    ]
    pooled = math.sqrt(sum(df * sd**2 for df, sd in arms) / sum(df for df, _ in arms))
    assert round(pooled, 1) == printed
    for row in tables.where("contrasts", measure="MD_imputed_sd", month=month):
        assert row["md100_se"] / math.sqrt(1 / row["n_a"] + 1 / row["n_b"]) == pytest.approx(pooled, abs=3e-4)


# clean tables, and one fault at a time


def test_clean_evidence_finds_nothing(clean):
    assert audit(clean) == []
    assert report([]) == "0 findings: 0 errors, 0 doubts, 0 notes"
    assert {name: len(rows) for name, rows in clean.rows.items()} == {
        **{"studies": 7, "arms": 13, "outcomes": 17, "contrasts": 9, "events": 8, "pooled": 2, "claims": 2}
    }
    assert len(recompute(clean)) > 80


def arm(study: str, name: str) -> dict:
    return {"study_id": study, "arm_id": name}


ALDER_6 = {"study_id": "Alder2016", "month": 6}
LATE = {"study_id": "Dogwood2019", "scale": "GMFM-66", "month": 24}
OUTCOME_24 = LATE | {"scale_max": 100, "kind": "change", "n": 26, "sd_source": "none"}
IMPUTED = LATE | {
    **{"arm_a": "cells", "arm_b": "ctrl", "measure": "MD_imputed_sd", "estimate": 2, "n_a": 26, "n_b": 26, "md100": 2},
    **{"md100_se": round(7 * math.sqrt(2 / 26), 4), "notes": "SD 7.0 imputed: the field's", "default_use": "no"},
}
PLANTS = {
    "SDs divided by sqrt n": ("spread_is_se", {"spread": {("Dogwood2019", 6): 26**-0.5}}, ("1.2", "6.1", "g 0.68")),
    "SDs four times too large": ("sd_out_of_line", {"spread": {("Elm2020", 6): 4}}, ("SD 22 of cells",)),
    "an SD far too small for a standard error": ("sd_out_of_line", {"spread": {("Elm2020", 6): 0.05}}, ("SD 0.275",)),
    "estimate beside the middle": (
        "interval_not_centred",
        {"cells": [("pooled", {"measure": "MD"}, {"estimate": 1.7})]},
        ("estimate 1.7", "0.3 to 2.5", "estimate 1.4", "0.9", "3.1"),
    ),
    "ratio beside the middle": (
        "interval_not_centred",
        {"cells": [("pooled", {"measure": "RR"}, {"estimate": 1.0})]},
        ("0.57 to 1.42", "estimate 0.90", "0.70", "1.75"),
    ),
    "estimate outside": (
        "interval_not_centred",
        {"cells": [("pooled", {"measure": "MD"}, {"estimate": 3})]},
        ("estimate 3 ", "1.4 for this interval |"),
    ),
    "d of another SD": (
        "d_does_not_follow",
        {"cells": [("contrasts", {"measure": "SMD"}, {"estimate": 0.9})]},
        ("0.9 ", "0.53 (Hedges g; Cohen d 0.53)", "4.6 (0.55 to 8.65)"),
    ),
    "p of another test": (
        "p_does_not_follow",
        {"cells": [("contrasts", {"study_id": "Cedar2018", "measure": "MD"}, {"p": 0.31})]},
        ("p = 0.31", "by the interval", "whether the difference is significant depends on it"),
    ),
    "p below a level that it is not": (
        "p_does_not_follow",
        {"cells": [("contrasts", ALDER_6, {"p": 0.01, "p_qualifier": "<"})]},
        ("p < 0.01", "0.2"),
    ),
    "p in the notes": (
        "p_does_not_follow",
        {"cells": [("pooled", {"measure": "MD"}, {"notes": "Prints p = 0.6 for it."})]},
        ("p = 0.6", "(p in the notes)"),
    ),
    "one control group": (
        "children_counted_twice",
        {"cells": [("contrasts", {"study_id": "Dogwood2019"}, {"control_group": "Alder2016:ctrl"})]},
        ("one control group, Alder2016:ctrl", "its 30 children counted once"),
    ),
    "an extension": (
        "children_counted_twice",
        {"cells": [("studies", {"study_id": "Elm2020"}, {"sample_overlap": "children of Alder2016, treated again"})]},
        ("children of Alder2016", "up to 24 children", "Alder2016 alone is usable"),
    ),
    "a pool": (
        "children_counted_twice",
        {"cells": [("studies", {"study_id": "Elm2020"}, {"sample_overlap": "inside the Grove2022 pool"})]},
        ("Grove2022 and Elm2020 hold the same children, or probably do",),
    ),
    "arms that are halves": (
        "children_counted_twice",
        {
            "rows": {
                "arms": [
                    {
                        **arm("Birch2017", "all"),
                        "label": "all",
                        "n": 52,
                        "role": "active",
                        "cell_type": "UCB",
                        "cell_class": "TNC_MNC",
                        "origin": "allogeneic",
                        "route": "IV",
                    }
                ]
            }
        },
        ("130 in all, and 78 enrolled", "all (52) may be high (26) and low (26)"),
    ),
    "two sources": (
        "counts_differ",
        {"cells": [("outcomes", {"study_id": "Birch2017", "preferred": "no"}, {"n": 25})]},
        ("n 26 against n 25",),
    ),
    "a wrong sum": ("counts_differ", {"cells": [("arms", arm("Birch2017", "low+high"), {"n": 53})]}, ("53", "52: 26")),
    "children in no arm": (
        "counts_differ",
        {"cells": [("studies", {"study_id": "Cedar2018"}, {"n_enrolled": 72})]},
        ("72 enrolled", "70 in all", "2.8 %"),
    ),
    "children never enrolled": (
        "counts_differ",
        {"cells": [("studies", {"study_id": "Cedar2018"}, {"n_enrolled": 69})]},
        ("69 enrolled", "70 in all", "1.4 %"),
    ),
    "more children than the arm": (
        "counts_differ",
        {"cells": [("arms", arm("Elm2020", "cells"), {"n": 23}), ("events", {"study_id": "Elm2020"}, {"n": 20})]},
        ("24 children of cells", "at most 23"),
    ),
    "a claim that conflicts": (
        "counts_differ",
        {"cells": [("claims", {"claim_id": 1}, {"status": "conflicts", "low": 9, "high": 9, "notes": "Paper: 7."})]},
        ("9 of 31 children", "Paper: 7."),
    ),
    "a wrong percentage": (
        "percentage_denominator",
        {"cells": [("events", arm("Alder2016", "cells"), {"percent": 23.3})]},
        ("23.3 % for 7 of 31", "22.6 %", "-0.7 points"),
    ),
    "a percentage of no whole number": (
        "percentage_denominator",
        {"cells": [("events", arm("Elm2020", "cells"), {"percent": 27.3})]},
        ("27.3 % of 24", "6 of 24, 25.0 % or 7 of 24, 29.2 %"),
    ),
    "a percentage of nobody": (
        "percentage_denominator",
        {"cells": [("events", arm("Elm2020", "cells"), {"n": ""})]},
        ("25 % (responder)", "without the number of children"),
    ),
    "events above n": (
        "percentage_denominator",
        {"cells": [("events", arm("Fir2021", "ctrl"), {"events": 40, "percent": ""})]},
        ("40 of 32 children",),
    ),
    "n above the arm": (
        "percentage_denominator",
        {"cells": [("events", arm("Fir2021", "cells"), {"n": 33})]},
        ("n 33", "at most 32"),
    ),
    "a claim over others": (
        "percentage_denominator",
        {"cells": [("claims", {"claim_id": 2}, {"notes": "Over all diagnoses."})]},
        ("25 per cent", "Over all diagnoses."),
    ),
    "a registration": (
        "unpublished",
        {
            "rows": {
                "studies": [
                    {
                        "study_id": "Hazel",
                        "citation": "Hazel",
                        "design": "rct_parallel",
                        "n_enrolled": 90,
                        "registry_id": "NCT90000009",
                    }
                ]
            }
        },
        ("90 children, 28 % of the 325", "no trial of the tables is larger"),
    ),
    "no usable contrast": (
        "no_usable_contrast",
        {"cells": [("contrasts", {"study_id": "Dogwood2019"}, {"md100": "", "md100_se": ""})]},
        ("nonrandomised, 26 children treated; contrasts on GMFM-66",),
    ),
    "a standard error on the wrong scale": (
        "derived_columns",
        {"cells": [("contrasts", {"study_id": "Fir2021", "month": 6}, {"md100_se": 5.5783})]},
        ("md100_se 5.5783", "2.113 by two arms", "7 times its weight"),
    ),
    "an SD that is not sqrt(n) standard errors": (
        "derived_columns",
        {"cells": [("outcomes", arm("Elm2020", "cells"), {"se": 1.25})]},
        ("1.25", "1.123 by sd / sqrt(n)"),
    ),
    "an interval of another standard error": (
        "derived_columns",
        {"cells": [("contrasts", {"study_id": "Dogwood2019"}, {"ci_low": -3, "ci_high": 4.6, "verified": "text"})]},
        ("ci_high 4.6",),
    ),
    "two children": (
        "implausible_figure",
        {"cells": [("contrasts", ALDER_6, {"n_b": 3})]},
        ("3 children in ctrl", "0.52 and 6.3 times"),
    ),
    "a dose of no cells": (
        "implausible_figure",
        {"cells": [("arms", arm("Elm2020", "cells"), {"dose_total_cells_per_kg": 20})]},
        ("20 cells/kg in cells",),
    ),
    "a trial entered twice": (
        "standing_twice",
        {
            "cells": [
                ("outcomes", arm("Elm2020", "cells"), {"n": 26, "mean": 3.9, "sd": 6.1, "se": 1.1963}),
                ("arms", arm("Elm2020", "cells"), {"n": 26}),
                ("events", {"study_id": "Elm2020"}, {"n": 26, "percent": 50}),
            ]
        },
        ("Dogwood2019 cells and Elm2020 cells", "n 26, mean 3.9, SD 6.1"),
    ),
    "a name misspelt": (
        "two_spellings",
        {"rows": {"studies": [{"study_id": "Dogwod2019", "citation": "Dogwood", "design": "review"}]}},
        ("'Dogwod2019' and 'Dogwood2019'",),
    ),
    "an imputed SD": (
        "missing_spread",
        {
            "rows": {
                "outcomes": [OUTCOME_24 | {"arm_id": a, "mean": m} for a, m in (("cells", 6), ("ctrl", 4))],
                "contrasts": [IMPUTED],
            }
        },
        ("standard error 1.94, an SD of 7", "at the field's median SD of 9.22"),
    ),
}


@pytest.mark.parametrize("fault", PLANTS)
def test_recovery_of_a_planted_fault(tmp_path, fault):
    check, planted, figures = PLANTS[fault]
    found = audit(read_tables(clean_evidence(tmp_path, **planted)))
    also = {"sd_out_of_line"} if fault == "SDs divided by sqrt n" else set()  # whatever explains it, it is out of line
    assert {f.check for f in found} == {check} | also, report(found)
    assert all(figure in " || ".join(map(words, found)) for figure in figures), report(found)


def test_every_check_has_a_planted_fault():
    assert {check for check, _, _ in PLANTS.values()} == CHECK_NAMES


def test_standard_errors_known_as_such_are_a_note(tmp_path):
    """A difference of four standard errors: sensible as such, impossible if they were SDs."""
    spread = {("Birch2017", 6): 0.35}
    found = audit(read_tables(clean_evidence(tmp_path, spread=spread)))
    assert {(f.check, f.severity, f.study) for f in found} >= {("spread_is_se", "note", "Birch2017")}


# tables of the user


@pytest.mark.parametrize("source", ["shipped", "clean"])
def test_three_tables_are_enough(tmp_path, source):
    folder = PACKAGE_TABLES if source == "shipped" else clean_evidence(tmp_path / "clean")
    (tmp_path / "own").mkdir()
    for name in ("studies", "arms", "contrasts"):
        shutil.copy(folder / f"{name}.csv", tmp_path / "own")
    found = audit(read_tables(tmp_path / "own"))
    if source == "clean":
        assert found == []
    else:
        assert {f.table for f in found} == {"studies", "arms", "contrasts"}
        assert said(found, "interval_not_centred", "Zarrabi2022")
        assert said(found, "d_does_not_follow", "Amanat2021")
        assert not [f for f in found if f.check == "derived_columns"]


def test_tables_with_headers_only(tmp_path):
    for name in ("studies", "arms", "contrasts", "outcomes", "events"):
        header = (PACKAGE_TABLES / f"{name}.csv").read_text(encoding="utf-8").splitlines()[0]
        (tmp_path / f"{name}.csv").write_text(header + "\n", encoding="utf-8")
    own = read_tables(tmp_path)
    assert audit(own) == []
    assert recompute(own) == []


# order, text, rounding


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_findings_do_not_depend_on_the_order_of_rows(tables, shipped, seed):
    shuffled = {name: random.Random(seed).sample(rows, len(rows)) for name, rows in tables.rows.items()}
    assert audit(dataclasses.replace(tables, rows=shuffled)) == shipped


ODD = (None, 0, 1, -1, 0.5, 1e-6, 1e15, 37.0)


@pytest.mark.parametrize("seed", range(40))
def test_odd_figures_never_stop_the_audit(clean, seed):
    """Cells that a reader lets pass, however absurd, are audited: nothing raises, every finding has its words."""
    rng = random.Random(seed)
    rows = {name: [dict(r) for r in rows] for name, rows in clean.rows.items()}
    for _ in range(20):
        name = rng.choice(sorted(rows))
        row, value = rng.choice(rows[name]), rng.choice(ODD)
        column, rules = rng.choice([(c, r) for c, r in TABLES[name].columns.items() if r.kind != "text"])
        whole = rules.kind == "integer" and value is not None
        value = int(value) if whole else value
        bounds = (
            (rules.low, lambda a, b: a >= b),
            (rules.above, lambda a, b: a > b),
            (rules.high, lambda a, b: a <= b),
        )
        if (value is None and not rules.required) or (
            value is not None and all(bound is None or holds(value, bound) for bound, holds in bounds)
        ):
            row[column] = value
            for low, high in TABLES[name].ordered:
                if None not in (row[low], row[high]) and row[low] > row[high]:
                    row[low], row[high] = row[high], row[low]
    found = audit(dataclasses.replace(clean, rows=rows))
    assert all(f.printed and f.expected and f.effect and f.rows for f in found)
    assert report(found).splitlines()[-1].startswith(f"{len(found)} finding")


def test_the_audit_changes_no_row(tables):
    before = hashlib.sha256(repr(tables.rows).encode()).hexdigest()
    audit(tables)
    assert hashlib.sha256(repr(tables.rows).encode()).hexdigest() == before


def test_report_is_text_that_fits_and_holds_every_word(shipped):
    text = report(shipped)
    assert max(map(len, text.splitlines())) <= WIDTH
    flat = " ".join(text.split())
    for finding in shipped:
        for part in (finding.study, finding.printed, finding.expected, finding.effect):
            assert " ".join(part.split()) in flat
    by_severity = [sum(f.severity == s for f in shipped) for s in SEVERITIES]
    assert text.splitlines()[-1] == "{} findings: {} error, {} doubts, {} notes".format(len(shipped), *by_severity)
    assert [f.severity for f in shipped] == sorted((f.severity for f in shipped), key=SEVERITIES.index)


def test_json_holds_the_same(shipped):
    back = json.loads(json.dumps(as_json(shipped)))
    assert [Finding(**f | {"rows": tuple(f["rows"])}) for f in back] == shipped


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        *((6.6813, 6.7, True), (5.6, 5.5, False), (5.0912, 5.1, True), (9.0, 9, True), (4.3, 3.9586, False)),
        *((18, 17, False), (5.25, 5.3, True), (5.25, 5.2, True), (5.26, 5.2, False), (None, 3, True)),
    ],
)
def test_known_roundings(a, b, same):
    assert same_figure(a, b) is same
    assert same_figure(b, a) is same


@given(st.decimals(min_value=-1000, max_value=1000, places=4), st.integers(0, 4))
def test_a_figure_and_its_rounding_are_the_same(figure, places):
    assert same_figure(float(figure), float(round(figure, places)))


@pytest.mark.parametrize(
    ("figure", "places", "half"), [(7.1, 1, 0.05), (12.76, 2, 0.005), (4.0, 0, 0.5), (1e-5, 5, 5e-6)]
)
def test_known_half_units(figure, places, half):
    assert decimals(figure) == places
    assert half_unit(figure) == pytest.approx(half, rel=1e-12)


def test_no_check_knows_a_study(tables):
    files = [*(PACKAGE_TABLES.parent / "audit").glob("*.py"), PACKAGE_TABLES.parent / "spread.py"]
    assert len(files) >= 8
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    assert not [s["study_id"] for s in tables.rows["studies"] if s["study_id"] in code]
