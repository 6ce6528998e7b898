"""A folder of a few tables, written from the cells that matter: studies and arms follow from the contrasts."""

import csv
from pathlib import Path

from gmfmsim.evidence.schema import TABLES

SOURCE = {"source_url": "x", "source_location": "x"}
USUAL = {
    "studies": {"design": "rct_parallel", "seed": "no", **SOURCE},
    "arms": {"cell_type": "x", "origin": "x", "route": "IV", "dose_derivation": "x", **SOURCE},
    "outcomes": {"scale": "GMFM-66", "scale_max": 100, "month": 12, "kind": "change", "sd_source": "reported"},
    "contrasts": {"scale": "GMFM-66", "month": 12, "measure": "MD", "default_use": "primary"},
    "readings": {"scale": "GMFM-66", "month": 12, "weight": 1, "reason": "x"},
}
READ = {"preferred": "yes", "verified": "table", **SOURCE}


def small_folder(folder: Path, contrasts: list[dict], **tables: list[dict]) -> Path:
    """Write studies, arms, contrasts and further tables to `folder` and return it.

    contrasts: study, arm_a, arm_b and whatever else; estimate is md100 where it is not given. An arm that is first
    anywhere has 5e7 cells/kg, any other none.
    """
    rows = {"contrasts": [{"study_id": c["study"], "estimate": c.get("md100", 0)} | c for c in contrasts]}
    rows["studies"] = [{"study_id": s, "citation": s} for s in dict.fromkeys(c["study"] for c in contrasts)]
    treated = dict.fromkeys((c["study"], c["arm_a"]) for c in contrasts)
    named = dict.fromkeys((c["study"], c[arm]) for c in contrasts for arm in ("arm_a", "arm_b"))
    rows["arms"] = [_arm(study, arm, (study, arm) in treated) for study, arm in named]
    rows |= {name: [{"study_id": r["study"]} | r for r in given] for name, given in tables.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, given in rows.items():
        usual = USUAL[name] | (READ if name in ("outcomes", "contrasts") else {})
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(TABLES[name].columns), restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(usual | row for row in given)
    return folder


def _arm(study: str, arm: str, treated: bool) -> dict:
    role, cells, dose = ("active", "TNC_MNC", 5e7) if treated else ("control", "none", 0)
    row = {"study_id": study, "arm_id": arm, "label": arm, "role": role, "cell_class": cells}
    return row | {"dose_total_cells_per_kg": dose} | ({"log10_dose": 7.699, "log10_dose_sd": 0.03} if treated else {})
