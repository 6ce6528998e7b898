"""The command line: gmfmsim run, check, list, show."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gmfmsim import DISCLAIMER, __version__
from gmfmsim.faults import GateFailed, InputError

app = typer.Typer(
    help=f"How many children does the next trial of cell treatment in cerebral palsy need? {DISCLAIMER}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines instead of text.")]
Name = Annotated[str, typer.Argument(help="A shipped experiment, or the path of a .toml file.", metavar="NAME|PATH")]


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
    as_json: Json = False,
) -> None:
    """Run an experiment: fit, simulate, find the required n, write answer, figures and report."""
    from gmfmsim.pipeline import run as run_experiment
    from gmfmsim.progress import Console

    result = run_experiment(name, results, progress=Console())
    if as_json:
        _print_json(result.answer | {"folder": str(result.folder), "reused": result.reused})
        return
    print(result.answer["sentence"])
    print(f"report: {result.report}" + (" (computed before, same key)" if result.reused else ""))
    print(DISCLAIMER)


@app.command(epilog="Example: gmfmsim check my_trial.toml")
def check(name: Name, as_json: Json = False) -> None:
    """Validate an experiment with everything it uses; compute nothing."""
    from gmfmsim.lookup import check as check_experiment

    found = check_experiment(name)
    if as_json:
        _print_json(found)
        return
    print(f"{found['experiment']} is valid (key {found['key']}). {found['question']}")
    for plan in found["plans"]:
        target = plan["target"]
        goal = f"target {target['metric']} {target['value']:g}"
        print(f"  {plan['label']}: {plan['evidence']}; model {plan['model']}; {goal}")
        for contrast in plan["contrasts"]:
            print(f"    {contrast}")
        for what in ("dose", "month"):
            if plan[f"{what}_outside_evidence"]:
                print(f"    note: the {what} of the trial lies outside what was studied")


@app.command("list", epilog="Example: gmfmsim list")
def list_shipped(as_json: Json = False) -> None:
    """List the shipped experiments and models."""
    from gmfmsim.lookup import list as list_all

    shipped = list_all()
    if as_json:
        _print_json(shipped)
        return
    for kind, entries in shipped.items():
        print(kind)
        for name, text in entries.items():
            print(f"  {name:18} {text}")


@app.command(epilog="Examples: gmfmsim show model emax; gmfmsim show study Sun2017; gmfmsim show table pooled")
def show(
    kind: Annotated[str, typer.Argument(help="experiment, model, study or table.")],
    name: Annotated[str, typer.Argument(help="Which one.")],
    as_json: Json = False,
) -> None:
    """Show one experiment or model as its file, or one study or table as its rows."""
    from gmfmsim.lookup import show as show_one

    found = show_one(kind, name)
    if as_json:
        _print_json(found if isinstance(found, dict) else {kind: name, "toml": found})
    elif isinstance(found, str):
        print(found, end="")
    else:
        for table, rows in found.items():
            for row in rows:
                print(f"{table}.csv row {row['row']}")
                for column, value in row.items():
                    if value is not None and column != "row":
                        print(f"    {column}: {value:g}" if isinstance(value, float) else f"    {column}: {value}")


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def main() -> None:
    """Run the command line. Exit codes: 0 done, 2 faulty input, 3 failed sampling gate."""
    wants_json = "--json" in sys.argv[1:]
    try:
        app()
    except InputError as error:
        if wants_json:
            _print_json({"faults": [vars(fault) for fault in error.faults]})
        print(error, file=sys.stderr)
        sys.exit(2)
    except GateFailed as error:
        if wants_json:
            _print_json({"gate": error.rows})
        print(error, file=sys.stderr)
        sys.exit(3)
