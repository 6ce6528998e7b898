"""The command line: one function a verb."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import gmfmsim
from gmfmsim import DISCLAIMER, __version__
from gmfmsim.faults import Fault, GateFailed, InputError, NotANumber
from gmfmsim.progress import READING, Console, Interrupted, interruptible

if TYPE_CHECKING:
    from gmfmsim.answer.experiment import Experiment
    from gmfmsim.answer.result import Result

app = typer.Typer(
    help=f"How many children does the next trial of cell treatment in cerebral palsy need? {DISCLAIMER}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: gmfmsim size, then gmfmsim run quickstart; gmfmsim list says what there is.",
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
Name = Annotated[str, typer.Argument(help="A shipped experiment, or the path of a .toml file.", metavar="NAME|PATH")]
Record = Annotated[Path, typer.Option(help="The folder with the record to write or update.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Processes; the figures do not depend on it.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key: trial.dropout=0.15. Repeat. Paths are relative to the current folder.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Compute it again though the result is there.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed.")]
Effect = Annotated[float | None, typer.Option(help="The true gain in points, taken as known.")]
Sd = Annotated[float | None, typer.Option(help="SD of the change to the endpoint, in points, taken as known.")]
Ratio = Annotated[float | None, typer.Option(help="Children with cells for each control child.")]
Dropout = Annotated[float | None, typer.Option(help="Share of children that drop out.")]
Correlation = Annotated[
    float | None, typer.Option(help="Of baseline with endpoint: the analysis is one of covariance (ANCOVA).")
]
Alpha = Annotated[float | None, typer.Option(help="Two-sided level of the test.")]
Month = Annotated[float | None, typer.Option(help="The month of the endpoint.")]
Asked = Annotated[str, typer.Argument(help="A shipped experiment, or the path of a .toml file.", metavar="[NAME|PATH]")]
LINE = ("file", "row")
"""What stands before a row and in no column of it."""
MEASURES = "exact: the exact engine beside sampling; trials: simulated trials; sequential: trials with looks, "
MEASURES += "trials analysed with the evidence, their worth."
STUDIES = "exact, exact_readings, next_study, nuts or divergences; all of them by default."


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gmfmsim {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: gmfmsim run quickstart")
def run(
    name: Name,
    results: Annotated[Path, typer.Option(help="Where results/<experiment>/<key>/ is written.")] = Path("results"),
    changed: Set = None,
    seed: Seed = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run an experiment: fit, simulate, find the required n, write answer, figures and report."""
    _tell_result(gmfmsim.run(_loaded(name, changed, seed), results, force=force, progress=Console()), as_json)


@app.command(epilog="Examples: gmfmsim simulate next_parallel; gmfmsim simulate sun2017 --set trial.dropout=0.2")
def simulate(
    design: Annotated[
        str, typer.Argument(help="A shipped design, or the path of a .toml file.", metavar="DESIGN|PATH")
    ],
    results: Annotated[Path, typer.Option(help="Where results/design-<name>/<key>/ is written.")] = Path("results"),
    changed: Set = None,
    seed: Seed = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Simulate a design on the one-mean model of the quick start: operating characteristics, required n, a page."""
    changes = _changes(changed, seed)
    _tell_result(gmfmsim.simulate(design, results, changes=changes, force=force, progress=Console()), as_json)


@app.command(epilog="Examples: gmfmsim size; gmfmsim size --effect 3 --sd 5.5 --power 0.9 --ratio 2 --dropout 0.15")
def size(
    name: Asked = "quickstart",
    effect: Effect = None,
    sd: Sd = None,
    power: Annotated[float | None, typer.Option(help="The target: power at the effect.")] = None,
    assurance: Annotated[float | None, typer.Option(help="The target: assurance, over what the effect may be.")] = None,
    ratio: Ratio = None,
    dropout: Dropout = None,
    correlation: Correlation = None,
    alpha: Alpha = None,
    month: Month = None,
    changed: Set = None,
    what_moves: Annotated[
        bool, typer.Option("--what-moves", help="And the number under each changed assumption, and what is behind it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say how many children are needed, by default of the quick start; with --effect, for a gain that is known.

    Nothing is sampled where exact engines can answer, and nothing written.
    """
    short = {"effect": effect, "sd": sd, "power": power, "assurance": assurance, "ratio": ratio, "dropout": dropout}
    short |= {"correlation": correlation, "alpha": alpha, "month": month}
    found = gmfmsim.size(_loaded(name, changed, **short), what_moves=what_moves, progress=Console())
    from gmfmsim.answer.size import in_lines

    _tell(as_json, found, *in_lines(found), DISCLAIMER)


@app.command(epilog="Examples: gmfmsim power --n 60; gmfmsim power --n 60 --effect 3 --sd 5.5 --ratio 2 --dropout 0.15")
def power(
    n: Annotated[int, typer.Option("--n", min=2, max=10_000_000, help="Children in all.")],
    name: Asked = "quickstart",
    effect: Effect = None,
    sd: Sd = None,
    ratio: Ratio = None,
    dropout: Dropout = None,
    correlation: Correlation = None,
    alpha: Alpha = None,
    month: Month = None,
    changed: Set = None,
    as_json: Json = False,
) -> None:
    """Say what so many children show, by default in the quick start's trial: power at the effect, assurance, the
    detectable effect, and how far significant results are off."""
    short = {"effect": effect, "sd": sd, "ratio": ratio, "dropout": dropout}
    short |= {"correlation": correlation, "alpha": alpha, "month": month}
    found = gmfmsim.power(_loaded(name, changed, **short), n, progress=Console())
    from gmfmsim.answer.at_n import in_lines

    _tell(as_json, found, *in_lines(found), DISCLAIMER)


@app.command(epilog="Examples: gmfmsim precision --width 3; gmfmsim precision --n 120 --sd 5.5 --dropout 0.15")
def precision(
    name: Asked = "quickstart",
    width: Annotated[float | None, typer.Option(help="Points that the interval is to be wide at most.")] = None,
    n: Annotated[int | None, typer.Option("--n", min=2, max=10_000_000, help="Or children in all: how wide?")] = None,
    sd: Sd = None,
    ratio: Ratio = None,
    dropout: Dropout = None,
    correlation: Correlation = None,
    alpha: Alpha = None,
    month: Month = None,
    changed: Set = None,
    as_json: Json = False,
) -> None:
    """Say how many children make the confidence interval of the effect so narrow, or how wide it is with so many, on
    average over trials, by default in the quick start's trial."""
    short = {"sd": sd, "ratio": ratio, "dropout": dropout, "correlation": correlation, "alpha": alpha, "month": month}
    found = gmfmsim.precision(_loaded(name, changed, **short), width=width, n=n, progress=Console())
    from gmfmsim.answer.precision import in_lines

    _tell(as_json, found, *in_lines(found), DISCLAIMER)


@app.command(epilog="Examples: gmfmsim prior; gmfmsim prior --robust 0.2 --estimate 0.4 --se 1.1 --json")
def prior(
    name: Asked = "quickstart",
    components: Annotated[int, typer.Option(help="Normals that stand for what the evidence says.")] = 4,
    robust: Annotated[float | None, typer.Option(help="Weight of a vague component beside them.")] = None,
    estimate: Annotated[float | None, typer.Option(help="The effect that a trial found, in points.")] = None,
    se: Annotated[float | None, typer.Option(help="Its standard error, in points.")] = None,
    changed: Set = None,
    as_json: Json = False,
) -> None:
    """Say what the evidence knows of the next trial's effect, as a prior: a mixture of normals, what it is worth in
    children, and what holds after a trial has found an estimate; with the same for its control arm."""
    asked: dict[str, Any] = {"components": components, "robust": robust, "estimate": estimate, "se": se}
    found = gmfmsim.prior(_loaded(name, changed), **asked, progress=Console())
    from gmfmsim.answer.as_prior import in_lines

    _tell(as_json, found, *in_lines(found), DISCLAIMER)


@app.command(epilog="Examples: gmfmsim doses --effect 3; gmfmsim doses next_doses --effect 3 --n 240 --data arms.csv")
def doses(
    effect: Annotated[float, typer.Option(help="The largest effect at any dose, in points.")],
    design: Annotated[
        str, typer.Argument(help="A shipped design, or the path of a .toml file.", metavar="[DESIGN|PATH]")
    ] = "next_doses",
    sd: Sd = None,
    power: Annotated[float, typer.Option(help="Under the shape that is hardest to see.")] = 0.8,
    n: Annotated[int | None, typer.Option("--n", min=2, max=10_000_000, help="Or children in all.")] = None,
    share: Annotated[float, typer.Option(help="Of the largest effect, whose dose is to be estimated.")] = 0.9,
    data: Annotated[
        Path | None, typer.Option(help="A CSV file with dose, mean, sd, n of arms: curves are fitted to it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Plan a trial of several doses by formula (MCP-Mod): contrasts of its shapes and their power, children, the
    allocation that estimates a dose best; and fit curves to the arms of a trial that is over."""
    found = gmfmsim.doses(design, effect, sd=sd, power=power, n=n, share=share, data=data)
    from gmfmsim.answer.doses import in_lines

    _tell(as_json, found, *in_lines(found), DISCLAIMER)


def _loaded(name: str, changed: list[str] | None, seed: int | None = None, **short: float | None) -> "Experiment":
    """Return an experiment with the changes that a command line says."""
    changes = _changes(changed, seed, **short)
    with Console().steps(READING):
        return gmfmsim.load(name, changes)


def _changes(changed: list[str] | None, seed: int | None, **short: float | None) -> dict[str, Any]:
    """Return the changes by key that a command line says; KEY=VALUE wins over a short word."""
    with Console().steps(READING):
        from gmfmsim.question.changed import in_short, said_as

        own = {} if seed is None else {"seed": seed}
        return in_short(**short) | own | said_as(changed or ())


@app.command(
    epilog="Examples: gmfmsim compare quickstart quickstart_one_mean; gmfmsim compare next_parallel next_twins"
)
def compare(
    names: Annotated[
        list[str],
        typer.Argument(help="Experiments, designs or result folders; two or more plans.", metavar="NAME|PATH..."),
    ],
    results: Annotated[Path, typer.Option(help="Where results/compared/<key>/ is written.")] = Path("results"),
    as_json: Json = False,
) -> None:
    """Put plans side by side: children, assurance, power, plateau, false claims, and what distinguishes them.

    A result that is there is taken; of the others n, success over n and a design's false claims over settings of
    children are computed, in seconds where that is exact.
    """
    result = gmfmsim.compare(*names, results=results, progress=Console())
    from gmfmsim.answer.compare import differences
    from gmfmsim.answer.tables import in_lines
    from gmfmsim.report.compared import compared_table

    found = result.answer["comparison"]
    tables = (*in_lines(compared_table(found)), *differences(found))
    value = result.answer | {"folder": str(result.folder), "reused": result.reused}
    _tell(as_json, value, result.answer["sentence"], *tables, f"report: {result.report}", DISCLAIMER)


@app.command(epilog="Examples: gmfmsim protocol quickstart; gmfmsim protocol results/quickstart/KEY --out section.docx")
def protocol(
    name: Annotated[
        str, typer.Argument(help="A result folder, an experiment, a design, or a path.", metavar="FOLDER|NAME|PATH")
    ],
    form: Annotated[str | None, typer.Option("--format", help="md, html or docx.", metavar="md|html|docx")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write, by its end in that format.")] = None,
    plan: Annotated[str | None, typer.Option(help="The label of the plan that is meant, the first by default.")] = None,
    changed: Set = None,
    as_json: Json = False,
) -> None:
    """Write the sample-size section of a protocol, with every item that DELTA2 asks for.

    From a result folder nothing is computed; of an experiment or design as much as size does. Markdown is printed where
    no file is named; html and docx go to a new file NAME-sample-size.
    """
    from gmfmsim.report.protocol.document import form_of, new_file

    form = form_of(form, out)
    changes = _changes(changed, None)
    text = gmfmsim.protocol(name, changes, plan=plan, progress=Console())
    if out is None and form != "md":
        out = new_file(text, form)
    written = None if out is None else str(text.save(out, form))
    told = str(text) if written is None else f"wrote {written}\n"
    found = {"result": text.source, "written": written, "blocks": text.as_json()}
    _tell(as_json, found, told.rstrip("\n"))


@app.command(epilog="Example: gmfmsim report results/quickstart/KEY")
def report(
    folder: Annotated[Path, typer.Argument(help="A result folder, with its data.", metavar="FOLDER")],
    as_json: Json = False,
) -> None:
    """Draw figures and page of a result again, from its folder; fit and simulate nothing."""
    page = str(gmfmsim.draw(folder))
    _tell(as_json, {"report": page}, f"report: {page}")


def _tell_result(result: "Result", as_json: bool) -> None:
    """Print the answer of a run, and where its page is."""
    from gmfmsim.answer.resources import in_lines
    from gmfmsim.answer.value import in_lines as of_value

    found = result.answer | {"folder": str(result.folder), "reused": result.reused}
    again = " (computed before, same key)" if result.reused else ""
    taken = [*in_lines(result.answer), *of_value(result.answer)]
    _tell(as_json, found, result.answer["sentence"], *taken, f"report: {result.report}{again}", DISCLAIMER)


@app.command(epilog="Examples: gmfmsim fit quickstart; gmfmsim fit cord_blood_dose --json")
def fit(name: Name, changed: Set = None, seed: Seed = None, as_json: Json = False) -> None:
    """Fit and check the models of an experiment; simulate no trial, write nothing."""
    plans = gmfmsim.fit(_loaded(name, changed, seed), progress=Console())
    from gmfmsim.answer.fit import to_json, to_text

    if as_json:
        _print_json(to_json(plans))
    else:
        _tell(as_json, None, to_text(plans), DISCLAIMER)


@app.command(epilog="Examples: gmfmsim benchmark exact --json; gmfmsim benchmark sequential --json")
def benchmark(
    what: Annotated[str, typer.Argument(help=MEASURES, metavar="exact|trials|sequential")],
    as_json: Json = False,
) -> None:
    """Measure speed and accuracy on this machine, side by side in one run."""
    from gmfmsim import proof as measure

    measures = {"exact": measure.exact, "trials": measure.trials, "sequential": measure.sequential}
    if what not in measures:
        raise InputError([Fault("benchmark", "argument", f"{what!r} is not known", "exact, trials or sequential")])
    found = measures[what](progress=Console())
    _tell(as_json, found, *(f"{name}: {value:.6g}" for name, value in found.items()))


@app.command(epilog="Example: gmfmsim calibrate --model emax --study exact")
def calibrate(
    out: Record = Path("calibration"),
    model: Annotated[list[str] | None, typer.Option(help="A shipped model; all of them by default.")] = None,
    study: Annotated[list[str] | None, typer.Option(help=STUDIES)] = None,
    workers: Workers = 2,
) -> None:
    """Calibrate the engines on data simulated from the models, and record it (an hour or more for all)."""
    from gmfmsim.proof.calibration import calibrate as run_calibration

    run_calibration(out, model or None, study or None, workers=workers, progress=Console())
    print(f"record: {out}")


@app.command("type-one", epilog="Example: gmfmsim type-one --design next_parallel")
def type_one(
    out: Record = Path("calibration"),
    design: Annotated[list[str] | None, typer.Option(help="A shipped design; all of them by default.")] = None,
    workers: Workers = 2,
) -> None:
    """Simulate the shipped designs without effect and record how often each analysis claims one (minutes for all)."""
    from gmfmsim.proof.type_one import record_type_one

    record_type_one(out, design or None, workers=workers, progress=Console())
    print(f"record: {out}")


@app.command(epilog="Example: gmfmsim check my_trial.toml")
def check(name: Name, changed: Set = None, as_json: Json = False) -> None:
    """Validate an experiment with everything it uses; fit and simulate nothing."""
    found = gmfmsim.check(_loaded(name, changed))
    lines = [f"{found['experiment']} is valid (key {found['key']}). {found['question']}"]
    lines += [f"  {item['kind']}: {item['title']}" for item in found.get("checks", [])]
    for plan in found["plans"]:
        goal = f"target {plan['target']['metric']} {plan['target']['value']:g}"
        lines.append(f"  {plan['label']}: {plan['evidence']}; model {plan['model']}; {goal}")
        several = len({place.rpartition(" row ")[0] for place in plan["sources"] if place}) > 1
        places = [f" ({place})" if several and place else "" for place in plan["sources"]]
        lines += [f"    {contrast}{place}" for contrast, place in zip(plan["contrasts"], places, strict=True)]
        outside = [what for what in ("dose", "month") if plan[f"{what}_outside_evidence"]]
        lines += [f"    note: the {what} of the trial lies outside what was studied" for what in outside]
        lines += [f"    note: {note}" for note in plan["notes"]]
    _tell(as_json, found, *lines)


@app.command("list", epilog="Example: gmfmsim list")
def list_shipped(as_json: Json = False) -> None:
    """List the shipped experiments, models, designs and children."""
    shipped, lines = gmfmsim.shipped(), []
    width = max(len(name) for entries in shipped.values() for name in entries)
    for kind, entries in shipped.items():
        lines += [kind, *(f"  {name:{width}} {text}" for name, text in entries.items())]
    _tell(as_json, shipped, *lines)


@app.command(epilog="Examples: gmfmsim show model emax; gmfmsim show design sun2017; gmfmsim show keys trial.arms")
def show(
    kind: Annotated[
        str,
        typer.Argument(
            help="experiment, model, design, children, study, table, claims, ratio, correlation, prices, keys, schema, "
            "or a table's name."
        ),
    ],
    name: Annotated[
        str, typer.Argument(help="Which one; of a table, the rows of this study; of keys, a section.")
    ] = "",
    tables: Annotated[
        list[str] | None,
        typer.Option(help="Folders or flat CSV files in place of the shipped tables; package is these."),
    ] = None,
    toml: Annotated[bool, typer.Option("--toml", help="Of a model or design: its file, to start from.")] = False,
    html: Annotated[Path | None, typer.Option(help="Of a model: write a page with plots to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show an experiment or children as the file, a model or design in words, a study, review or table as its rows,
    what uses each claim and endpoint, what is known of the ratio of the GMFM-66 to the GMFM-88 or of the correlation of
    twins and of children of one therapist or centre, prices, the keys of an experiment file, or its schema."""
    from gmfmsim.report import show as lookup

    if kind == "schema" or (kind == "keys" and as_json):
        _print_json(lookup.schema(name or "experiments") if kind == "schema" else lookup.keys(name))
        return
    if kind in ("ratio", "correlation") and as_json:
        _print_json(lookup.known(kind))
        return
    if kind == "model" and (toml or html or as_json):
        _show_model(name, toml=toml, html=html, as_json=as_json)
        return
    if kind == "design" and (toml or as_json):
        print(lookup.text_of("designs", name), end="") if toml else _print_json(lookup.design_json(name))
        return
    found = lookup.show(kind, name or None, tables=tables or None)
    if isinstance(found, str):
        _tell(as_json, {kind: name, "toml": found}, found.rstrip("\n"))
        return
    if "endpoints" in found:
        from gmfmsim.report.claims import in_lines

        _tell(as_json, found, *in_lines(found), DISCLAIMER)
        return
    lines = []
    for table, rows in found.items():
        for row in rows:
            lines.append(f"{row['file']} row {row['row']}" + (f", {table}" if row["file"] != f"{table}.csv" else ""))
            known = {column: value for column, value in row.items() if value is not None and column not in LINE}
            said = {column: f"{v:.10g}" if isinstance(v, float) else v for column, v in known.items()}
            lines += [f"    {column}: {value}" for column, value in said.items()]
    _tell(as_json, found, *lines, DISCLAIMER)


def _show_model(name: str, *, toml: bool, html: Path | None, as_json: bool) -> None:
    """Show a model otherwise than in words: as its file, as a page, or for machines."""
    from gmfmsim.report import show as lookup

    if html:
        lookup.write_model_page(name, html)
        print(f"wrote {html}")
    elif toml:
        print(lookup.text_of("models", name), end="")
    if as_json:
        from gmfmsim.model.describe import as_json as to_json

        _print_json({"model": name, "toml": lookup.text_of("models", name)} | to_json(lookup.describe_model(name)))


@app.command(
    epilog="Examples: gmfmsim audit; gmfmsim audit --table events; gmfmsim audit --table package --table pilots.csv"
)
def audit(
    table: Annotated[
        list[str] | None,
        typer.Option(help="One of the shipped tables, or a folder or flat CSV file of your own; repeat, with package."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what in the evidence cannot be right, may be wrong or has to be known, and what it would change."""
    from gmfmsim.evidence.audit import as_json as to_json
    from gmfmsim.evidence.audit import report as in_words

    findings = gmfmsim.audit(table or None)
    _tell(as_json, {"findings": to_json(findings)}, in_words(findings), DISCLAIMER)


new = typer.Typer(help="Write a template to start from.", no_args_is_help=True)
app.add_typer(new, name="new")


@new.command(epilog="Example: gmfmsim new evidence my_evidence")
def evidence(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")], as_json: Json = False
) -> None:
    """Write an annotated table for your own evidence, an experiment that uses it, and how to go on."""
    written = [str(path) for path in gmfmsim.new_evidence(folder)]
    last = f"next: gmfmsim check {shlex.quote(str(folder / 'trial.toml'))}"
    _tell(as_json, {"written": written}, *(f"wrote {path}" for path in written), last)


def _tell(as_json: bool, value: object, *lines: str) -> None:
    """Print what a command found: as JSON for machines, or in lines for people."""
    if as_json:
        _print_json(value)
    else:
        print("\n".join(lines))


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 output that cannot be written, 2 faulty input, 3 a posterior that
    cannot be trusted, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a name that a terminal cannot show is shown by its codes
    try:
        sys.exit(_run())
    except BrokenPipeError:  # the reader of our output has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _run() -> int:
    """Run one command; return the exit code. With --json, standard output is one JSON document, faults included."""
    wants_json = "--json" in sys.argv[1:]
    try:
        with interruptible():
            app()
    except SystemExit as stop:
        if wants_json and stop.code == 2:  # of the command line itself, told on stderr
            fault = Fault("command line", " ".join(sys.argv[1:]), "is not understood", "what gmfmsim --help shows")
            _print_json({"faults": [vars(fault)]})
        return stop.code or 0
    except InputError as error:
        if wants_json:
            more = {"more": error.left} if error.left else {}
            _print_json({"faults": [vars(fault) for fault in error.told]} | more)
        print(error, file=sys.stderr)
        return 2
    except Interrupted as stop:
        said = "; ".join(("interrupted", *getattr(stop, "__notes__", ())))
        if wants_json:
            _print_json({"interrupted": said})
        print(said, file=sys.stderr)
        return 130
    except GateFailed as error:
        if wants_json:
            _print_json({"gate": error.rows})
        print(error, file=sys.stderr)
        return 3
    except NotANumber as error:
        if wants_json:
            _print_json({"stopped": str(error)})
        print(f"{error}: the computation stopped and nothing was written", file=sys.stderr)
        print("    what to do: look at the priors and at the figures of the evidence, gmfmsim audit", file=sys.stderr)
        return 3
    return 0
