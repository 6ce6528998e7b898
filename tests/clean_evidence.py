"""A folder of made-up evidence in which every figure follows from the others, and ways to put a fault into it."""

import csv
import math
from pathlib import Path

from scipy.special import stdtr

from gmfmsim.evidence.schema import TABLES

SOURCE = {"source_url": "https://example.org", "source_location": "Table 1"}
COMMON = {
    "studies": {"seed": "no", "gmfcs": "I-V", **SOURCE},
    "arms": {"dose_derivation": "reported", **SOURCE},
    "outcomes": {"preferred": "yes", "verified": "text", **SOURCE},
    "contrasts": {"preferred": "yes", "verified": "derived", "default_use": "primary", **SOURCE},
    "events": {"preferred": "yes", "verified": "text", **SOURCE},
    "pooled": {"preferred": "yes", "verified": "text", **SOURCE},
    "claims": {"source": "a page", "source_url": "https://example.org"},
}
DESIGNS = {
    "Alder2016": ("rct_parallel", 61, "NCT90000001"),
    "Birch2017": ("rct_parallel", 78, "NCT90000002"),
    "Cedar2018": ("rct_parallel", 70, "NCT90000003"),
    "Dogwood2019": ("nonrandomised", 52, ""),
    "Elm2020": ("single_arm", 24, ""),
    "Fir2021": ("rct_crossover", 64, "NCT90000006"),
}
ARMS = {
    "Alder2016": {"cells": 31, "ctrl": 30},
    "Birch2017": {"low": 26, "high": 26, "ctrl": 26},
    "Cedar2018": {"cells": 35, "ctrl": 35},
    "Dogwood2019": {"cells": 26, "ctrl": 26},
    "Elm2020": {"cells": 24},
    "Fir2021": {"cells": 32, "ctrl": 32},
}
CHANGES = [
    # study, scale, scale_max, month, sd_source, {arm: (mean, SD)}
    ("Alder2016", "GMFM-66", 100, 6, "reported", {"cells": (4.1, 5.1), "ctrl": (2.6, 4.6)}),
    ("Alder2016", "GMFM-66", 100, 12, "reported", {"cells": (6.3, 6.4), "ctrl": (4.2, 5.9)}),
    ("Birch2017", "GMFM-88", 100, 6, "from_se", {"low": (5.2, 7.4), "high": (6.4, 6.9), "ctrl": (4.4, 6.5)}),
    ("Cedar2018", "GMFM-66", 100, 6, "from_ci", {"cells": (7.9, 9.2), "ctrl": (3.3, 8.1)}),
    ("Dogwood2019", "GMFM-66", 100, 6, "reported", {"cells": (3.9, 6.1), "ctrl": (3.1, 5.7)}),
    ("Elm2020", "GMFM-66", 100, 6, "reported", {"cells": (5.0, 5.5)}),
    ("Fir2021", "GMFM-88 raw", 264, 6, "reported", {"cells": (16.4, 23.1), "ctrl": (13.1, 21.5)}),
    ("Fir2021", "GMFM-88 raw", 264, 12, "reported", {"cells": (24.9, 26.3), "ctrl": (22.0, 24.2)}),
]
PAIRS = {
    "Alder2016": [("cells", "ctrl")],
    "Birch2017": [("low", "ctrl"), ("high", "ctrl")],
    "Dogwood2019": [("cells", "ctrl")],
    "Fir2021": [("cells", "ctrl")],
}


def clean_evidence(folder: Path, *, spread: dict | None = None, cells: list | None = None, rows: dict | None = None):
    """Write the seven tables to `folder` and return it.

    spread {(study, month): factor} multiplies SDs, and all that is computed from them; cells [(table, {column: value
    of the row}, {column: new value})] replaces single cells; rows {table: [row]} adds rows.
    """
    tables = _tables(spread or {})
    for table, where, values in cells or []:
        chosen = [r for r in tables[table] if all(str(r.get(k, "")) == str(v) for k, v in where.items())]
        assert len(chosen) == 1, f"{len(chosen)} rows of {table} fit {where}"
        chosen[0].update(values)
    for table, added in (rows or {}).items():
        tables[table] += added
    folder.mkdir(parents=True, exist_ok=True)
    for table, schema in TABLES.items():
        if table in tables:
            with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(schema.columns), restval="")
                writer.writeheader()
                writer.writerows(COMMON[table] | row for row in tables[table])
    return folder


def _tables(spread: dict) -> dict[str, list[dict]]:
    outcomes = [_outcome(*change, arm, spread) for change in CHANGES for arm in change[-1]]
    return {
        "studies": [_study(*item) for item in DESIGNS.items()]
        + [{"study_id": "Grove2022", "citation": "Grove 2022", "design": "meta_analysis", "n_enrolled": 245}],
        "arms": [_arm(study, arm, n) for study, arms in ARMS.items() for arm, n in arms.items()]
        + [_arm("Birch2017", "low+high", 52) | {"composite_of": "low;high"}],
        "outcomes": outcomes + _other_sources(outcomes),
        "contrasts": [_contrast(o, a, b, outcomes) for o, a, b in _compared(outcomes)] + _adjusted(outcomes),
        "events": [
            *_events("Alder2016", "fever", cells=7, ctrl=4),
            *_events("Birch2017", "fever", low=3, high=5, ctrl=2),
            *_events("Fir2021", "constipation", cells=0, ctrl=1),
            {
                "study_id": "Elm2020",
                "arm_id": "cells",
                "event": "responder",
                "definition": "any",
                "n": 24,
                "percent": 25,
            },
        ],
        "pooled": [_pooled("MD", "GMFM-66", 1.4, 0.3, 2.5), _pooled("RR", "AE: fever", 0.9, 0.57, 1.42)],
        "claims": [
            _claim(1, "Alder2016", "fever", 7, "of 31 children"),
            _claim(2, "Elm2020", "responders", 25, "per cent") | {"notes": "6/24."},
        ],
    }


def _study(name: str, facts: tuple) -> dict:
    design, enrolled, registration = facts
    return {"study_id": name, "citation": name, "design": design, "n_enrolled": enrolled, "registry_id": registration}


def _arm(study: str, arm: str, n: int) -> dict:
    row = {"study_id": study, "arm_id": arm, "label": arm, "n": n, "origin": "allogeneic", "route": "IV"}
    if arm == "ctrl":
        return row | {"role": "control", "cell_type": "none", "cell_class": "none", "dose_total_cells_per_kg": 0}
    return row | {"role": "active", "cell_type": "UCB", "cell_class": "TNC_MNC", "dose_total_cells_per_kg": 2e7}


def _outcome(study, scale, top, month, source, arms, arm, spread) -> dict:
    mean, sd, n = *arms[arm], ARMS[study][arm]
    sd *= spread.get((study, month), 1)
    row = {"study_id": study, "arm_id": arm, "scale": scale, "scale_max": top, "month": month, "kind": "change", "n": n}
    row |= {"mean": mean, "sd": round(sd, 4), "se": round(sd / math.sqrt(n), 4), "sd_source": source}
    if source == "from_ci":
        half = _t975(n - 1) * sd / math.sqrt(n)
        low, high = round(mean - half, 2), round(mean + half, 2)
        se = (high - low) / (2 * _t975(n - 1))
        row |= {"ci_low": low, "ci_high": high, "se": round(se, 4), "sd": round(se * math.sqrt(n), 4)}
    return row


def _other_sources(outcomes: list[dict]) -> list[dict]:
    """A second source that rounds the first one's figures."""
    first = next(o for o in outcomes if o["study_id"] == "Birch2017")
    return [first | {"sd": round(first["sd"], 1), "se": "", "sd_source": "reported", "preferred": "no"}]


def _compared(outcomes: list[dict]) -> list[tuple[dict, str, str]]:
    return [(o, a, b) for o in outcomes for a, b in PAIRS.get(o["study_id"], []) if o["arm_id"] == a]


def _contrast(outcome: dict, a: str, b: str, outcomes: list[dict]) -> dict:
    study, month, unit = outcome["study_id"], outcome["month"], 100 / outcome["scale_max"]
    first, second = (
        next(o for o in outcomes if (o["study_id"], o["arm_id"], o["month"]) == (study, arm, month)) for arm in (a, b)
    )
    md, n1, n2 = first["mean"] - second["mean"], first["n"], second["n"]
    se = math.sqrt(first["sd"] ** 2 / n1 + second["sd"] ** 2 / n2)
    sd = math.sqrt(((n1 - 1) * first["sd"] ** 2 + (n2 - 1) * second["sd"] ** 2) / (n1 + n2 - 2))
    row = {"study_id": study, "arm_a": a, "arm_b": b, "scale": outcome["scale"], "month": month, "measure": "MD"}
    row |= {"estimate": round(md, 4), "se": round(se, 4), "n_a": n1, "n_b": n2}
    row |= {"ci_low": round(md - 1.959964 * se, 4), "ci_high": round(md + 1.959964 * se, 4)}
    row |= {"p": round(2 * float(stdtr(n1 + n2 - 2, -abs(md) / se)), 3), "p_qualifier": "="}
    row |= {"md100": round(md * unit, 4), "md100_se": round(se * unit, 4), **_g(md, sd, n1, n2)}
    return row | {"control_group": f"{study}:{b}", "control_se100": round(second["sd"] / math.sqrt(n2) * unit, 4)}


def _adjusted(outcomes: list[dict]) -> list[dict]:
    """An adjusted difference printed with its interval, and the standardised difference that follows."""
    low, high, n = 0.55, 8.65, 35
    se = (high - low) / (2 * 1.959964)
    g = _g(4.6, se / math.sqrt(2 / n), n, n)
    row = {
        "study_id": "Cedar2018",
        "arm_a": "cells",
        "arm_b": "ctrl",
        "scale": "GMFM-66",
        "month": 6,
        "n_a": n,
        "n_b": n,
    }
    row |= {"verified": "abstract"}
    md = {"measure": "MD", "estimate": 4.6, "se": round(se, 4), "ci_low": low, "ci_high": high, "p": 0.03}
    md |= {"p_qualifier": "=", "md100": 4.6, "md100_se": round(se, 4), **g, "control_group": "Cedar2018:ctrl"}
    (control,) = (o for o in outcomes if (o["study_id"], o["arm_id"]) == ("Cedar2018", "ctrl"))
    md |= {"control_se100": round(control["sd"] / math.sqrt(n), 4)}
    return [row | md, row | {"measure": "SMD", "estimate": round(g["hedges_g"], 2), "default_use": "no"}]


def _g(md: float, sd: float, n1: int, n2: int) -> dict:
    df = n1 + n2 - 2
    j = math.exp(math.lgamma(df / 2) - math.lgamma((df - 1) / 2)) / math.sqrt(df / 2)
    d = md / sd
    return {
        "hedges_g": round(j * d, 4),
        "hedges_g_se": round(j * math.sqrt(1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2))), 4),
    }


def _events(study: str, event: str, **counts: int) -> list[dict]:
    return [
        {"study_id": study, "arm_id": arm, "event": event, "definition": "children with the event", "events": k}
        | {"n": ARMS[study][arm], "percent": round(100 * k / ARMS[study][arm], 1)}
        for arm, k in counts.items()
    ]


def _pooled(measure: str, scale: str, estimate: float, low: float, high: float) -> dict:
    row = {"meta_id": "Grove2022", "scale": scale, "month": "6", "measure": measure, "k_studies": 4, "n_total": 245}
    return row | {"estimate": estimate, "ci_low": low, "ci_high": high, "model": "random effects"}


def _claim(number: int, study: str, quantity: str, figure: float, unit: str) -> dict:
    row = {"claim_id": number, "study_id": study, "quantity": quantity, "low": figure, "high": figure, "unit": unit}
    return row | {"status": "agrees"}


def _t975(df: int) -> float:
    """The t quantile by bisection on its distribution function."""
    low, high = 1.9, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if stdtr(df, middle) < 0.975 else (low, middle)
    return low
