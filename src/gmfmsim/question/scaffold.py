"""A template to start from: a user's own evidence, an experiment that uses it, and how to go on."""

import csv
import io
import json
import os
from contextlib import suppress
from pathlib import Path

from gmfmsim import DISCLAIMER
from gmfmsim.evidence.formulas.dose import write_dose
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.faults import Fault, InputError
from gmfmsim.question.grammar import schema

EXAMPLES = (("Kang2015", 6), ("Sun2022", 12))
"""Study and month of the example rows: one with SDs as printed, one with intervals and a shared control."""

COLUMNS = (
    *("study", "arm", "dose", "n", "mean", "sd", "ci_low", "ci_high"),
    *("month", "scale", "cell_class", "route", "source"),
)

EVIDENCE = """\
# Your own evidence: one row for each arm at each month. Lines above the header that begin with # are comments.
# The example rows are published figures. Replace them by your own.
#
# study       the same name in all rows of one study
# arm         the same name in all rows of one arm
# dose        all cells together, over all infusions, with the unit: 5e7 cells/kg, or 2e8 cells (then give weight_kg or
#             age_y too); 0 for the control arm; unknown, or empty, where it is not known
# n           children whose change was measured; empty where it is not known and se is given
# mean        mean change of the GMFM score since baseline, in points of a 0-100 scale; positive is a gain
# sd          standard deviation of that change between children, same points (not the standard error of the mean);
#             empty where one of the following is given instead
#
# These columns may be left out:
# se          standard error of the mean change
# ci_low      95 % interval of the mean change, lower end; ci_high upper end
# median      median change, with q1 and q3 (the quartiles), min and max, or all four: in place of mean and sd
# p           two-sided p of the difference from the control, by a t test, in the row of the treated arm: in place of sd
# t           the t statistic of that test, in place of p
# difference  the difference from the control as it is printed, adjusted or not, in the row of the treated arm: in place
#             of mean and sd; with difference_se, or difference_low and difference_high (95 % interval), or p or t
# baseline_mean  and baseline_sd, final_mean, final_sd: scores from 0 to 100 at both visits, where no SD of change is
#             printed; how the visits correlate is then uncertain, about 0.9
# month       months from the first infusion to the measurement; left out, it counts as not known
# scale       GMFM-66, GMFM-66 observed-minus-expected, GMFM-88 (per cent) or GMFM-unspecified; left out, it is GMFM-66
# age_y       mean age in years: weight is then taken as 2 x (age + 4) kg, +-30 %
# weight_kg   mean body weight in kg; it goes before age_y
# cell_class  TNC_MNC (nucleated or mononuclear cells), MSC, neural, other, mixed; empty or none for the control
# route       such as IV (by vein) or IT (intrathecal)
# source      where the figures are printed: a web address or a citation
#
# Every study has, at each month and scale, one arm with dose 0, which the others are compared with and share; where it
# has none, the arm with the lowest dose takes that place. Semicolons or tabs may part the cells, and between semicolons
# commas mark decimals, as spreadsheets write in much of Europe. Write no marks between thousands.
"""

SCHEMA = "trial.schema.json"
"""What editors take from it: the meaning, unit and limits of every key, as it is typed."""

TRIAL = (
    f"#:schema {SCHEMA}\n"
    + """\
# An experiment: one question, answered from the evidence in evidence.csv. Change what is yours.

question = "How many children give 80 % assurance that a new study shows a gain on the GMFM-66 at 12 months?"
seed = 1

[evidence]
tables = "evidence.csv"
# tables = ["package", "evidence.csv"]   # your studies beside the shipped ones; first take out the example rows, which
#                                        # are among these: no study may stand in two places
select = { default_use = "primary" }     # all rows; narrow by study, arm, scale, month, cell_class, route or row
# of an arm with several months, select one: select = { month = 12 }; beside the shipped studies month 12, or the month
# nearest to it, is taken as theirs is, and gmfmsim check says which

[model]
name = "random_effects"                  # gmfmsim list names the others

[trial]
design = "parallel"
month = 12
arms = [
  { name = "control", dose = "0 cells/kg" },
  { name = "cells", dose = "5e7 cells/kg" },      # total over all infusions
]
# sd_change = { dist = "lognormal", median = 5.5, sigma = 0.12 }   # without it: what trials predict for a new one
dropout = 0.1                            # share of the children who do not finish

[analysis]
method = "t"
alpha = 0.05                             # two-sided

[search]
target = { metric = "assurance", value = 0.80 }
planning_value = 1.42                    # GMFM-66 points: the effect of a plan without uncertainty
replicates = 100_000

# How long it takes, what it costs, and what it is worth: take out the marks, and put your own figures. What a gain is
# worth, and to how many, only you can judge.
# [recruitment]
# centres = 6
# rate = { mean = 1.5, low = 0.8, high = 2.5 }   # children screened a month at one centre; 95 % range, or a number
# ramp = 6                               # months until all centres are open
# screening_failures = 0.2
# [cost]
# currency = "EUR"                       # each amount a number, or { low = ..., high = ... }
# treated = 20_000                       # a child with cells; or scenario = "...": gmfmsim show prices
# visit = 500                            # also screened, control, infusion, centre, month, fixed
# budget = 3_000_000                     # how many children does it pay?
# [value]
# benefit = 10_000                       # a GMFM-66 point gained, of one child; a judgement
# reach = 1_000                          # children a year whom the decision reaches
# treatment_cost = 20_000                # of a treated child
"""
)

README = f"""\
# A trial planned with gmfmsim

| file | holds |
|---|---|
| evidence.csv | what was reported: one row for each arm at each month. Replace the example rows by your own |
| trial.toml | the question: which evidence, which model, which trial; `gmfmsim show keys` says what it may hold |
| {SCHEMA} | the same for editors that read JSON schemas: they complete and check trial.toml as it is written |

1. `gmfmsim check trial.toml` reads everything and tells every fault with file, row, column and what is allowed.
2. `gmfmsim audit --table evidence.csv` looks for figures that cannot be right, such as standard errors printed as SDs;
   with `--table package` before it, for what stands among the shipped studies too.
3. `gmfmsim run trial.toml` fits the model, finds n and what moves it, and writes answer and report to results/trial/.

To add your studies to the shipped ones instead, take the example rows out of evidence.csv and write `tables =
["package", "evidence.csv"]` in trial.toml. Any shipped experiment takes them too:

    gmfmsim size quickstart --set evidence.tables='["package", "evidence.csv"]'

Conventions: an effect is cells minus control, positive favours treatment. A dose is the total over all infusions, in
cells per kg body weight, and always carries its unit. An SD is that of children, an SE that of a mean. Months count
from the first infusion. The model converts rows on another scale than the GMFM-66, with the uncertainty of that.

{DISCLAIMER}
"""


def new_evidence(folder: str | Path) -> list[Path]:
    """Write evidence.csv, trial.toml with its schema and README.md into a new or existing folder; return their paths.

    The example rows of evidence.csv are read from the shipped tables.

    Raises InputError if one of the files is there already or the folder cannot be written; then nothing is.
    """
    folder = Path(folder)
    texts = {"evidence.csv": EVIDENCE + _examples(read_tables()), "trial.toml": TRIAL, "README.md": README}
    texts |= {SCHEMA: json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"}
    paths = [folder / name for name in texts]
    there = [path for path in paths if os.path.lexists(path)]
    if there:
        allowed = "a folder without such a file: nothing is overwritten, and nothing was written"
        raise InputError([Fault(str(path), "file", "is there already", allowed) for path in there])
    written: list[Path] = []
    made = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            with path.open("x", encoding="utf-8", newline="\n") as file:
                written.append(path)
                file.write(text)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        with suppress(OSError, ValueError):
            for path in written:
                path.unlink()
            for empty in made:
                empty.rmdir()
        problem = f"cannot be written: {getattr(error, 'strerror', None) or error}"
        raise InputError([Fault(str(folder), "folder", problem, "a folder you may write to")]) from None
    return paths


def _examples(tables: Tables) -> str:
    """Return the header and the example rows as CSV, the control after the arms that are compared with it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for study, month in EXAMPLES:
        rows = tables.where("outcomes", study_id=study, month=month, kind="change", preferred="yes")
        arms = {arm["arm_id"]: arm for arm in tables.where("arms", study_id=study)}
        rows = [row for row in rows if (row["scale"] or "").startswith("GMFM")]
        for row in sorted(rows, key=lambda row: arms[row["arm_id"]]["role"]):
            writer.writerow(_flat(row, arms[row["arm_id"]]))
    return text.getvalue()


def _flat(outcome: Row, arm: Row) -> dict:
    """Return one outcome as a row of the flat file: the spread as it is printed, an SD or an interval."""
    treated = arm["role"] == "active"
    printed = ("ci_low", "ci_high") if outcome["sd_source"] == "from_ci" else ("sd",)
    return {c: _plain(outcome[c]) for c in ("n", "mean", *printed, "month", "scale")} | {
        "study": outcome["study_id"],
        "arm": outcome["arm_id"],
        "dose": write_dose(arm["dose_total_cells_per_kg"]).replace("e+0", "e") if treated else "0",
        "cell_class": arm["cell_class"],
        "route": arm["route"] if treated else "",
        "source": outcome["source_url"],
    }


def _plain(value: object) -> object:
    """Return a number without the .0 that floats carry."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
