"""Tables as values, for page and terminal alike: what stands in answer.json of models and checks, cell by cell."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import xarray as xr

from gmfmsim.compute.text import Written, decimals, figure, percent, share


class Cell(NamedTuple):
    """The text of a cell, what stands small below it, where it leads, and whether it warns."""

    text: str
    note: str = ""
    link: str = ""
    warn: str = ""


class Table(NamedTuple):
    """Headings, of a column of figures with a # before it; rows of cells; the rows that are marked."""

    headings: list[str]
    rows: list[list[Cell]]
    marked: frozenset[int] = frozenset()


def table(headings: Iterable[str], rows: Iterable[Iterable[str | Cell]], marked: Iterable[int] = ()) -> Table:
    """Return a table; a cell may be given as its text alone."""
    cells = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in rows]
    return Table(list(headings), cells, frozenset(marked))


def written(cell: Written) -> Cell:
    """Return the cell of a simulated figure, its Monte Carlo standard error below it."""
    return Cell(cell.value, f"\u00b1 {cell.mcse}" if cell.mcse else "")


def simulated(at: xr.Dataset, name: str, write: Callable[[float, float], Written] = share) -> list[Cell]:
    """Return the cells of a simulated figure along the one dimension that it has in a dataset."""
    pairs = zip(at[name].values.tolist(), at[f"{name}_mcse"].values.tolist(), strict=True)
    return [written(write(*pair)) for pair in pairs]


def in_lines(t: Table) -> list[str]:
    """Return lines of aligned columns for a terminal: figures to the right, text to the left."""
    heads = [h.removeprefix("#") for h in t.headings]
    rows = [[" ".join(filter(None, (c.text, c.warn, c.note))) for c in row] for row in t.rows]
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    right = [h.startswith("#") for h in t.headings]
    return [
        "  " + "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in [heads, *rows]
    ]


def parameters(model: dict) -> Table:
    """Return the parameters of a fitted model: by quadrature, and beside them by sampling; or one of them alone."""
    exact, sampled = model["engine"] == "exact", any(p["mcse"] for p in model["parameters"])
    headings = ["parameter", "#mean", "#sd", "#median", "#95 % interval"]
    beside = ["#sampled mean", "#sampled sd", "#MCSE", "#apart"] if sampled else []
    more = beside if exact else ["#MCSE", "#R-hat", "#bulk ESS"]
    rows = []
    for p in model["parameters"]:
        row = [Cell(p["name"], p["unit"]), *map(figure, (p["mean"], p["sd"], p["median"]))]
        row.append(f"{figure(p['low'])} to {figure(p['high'])}")
        if not exact:
            row += [f"{p['mcse']:.2g}", decimals(p["r_hat"], 4), f"{p['ess']:.0f}"]
        elif p["mcse"]:
            row += [figure(p["nuts_mean"]), figure(p["nuts_sd"]), f"{p['mcse']:.2g}", decimals(p["apart"], 1)]
        else:
            row += [""] * len(beside)
        rows.append(row)
    return table([*headings, *more], rows)


def gate(criteria: list[dict]) -> Table:
    """Return the criteria of the gate, those that failed marked."""
    rows = [
        [g["criterion"], g["required"], f"{g['measured']:g}", g["worst"], "passed" if g["passed"] else "failed"]
        for g in criteria
    ]
    failed = [i for i, g in enumerate(criteria) if not g["passed"]]
    return table(["criterion", "required", "#measured", "worst at", "verdict"], rows, failed)


def thresholds(model: dict) -> Table | None:
    """Return where a fitted threshold lies among the doses studied; None of a model without one."""
    if "threshold" not in model:
        return None
    rows = []
    for row in model["threshold"]:
        low, high = (figure(end).replace("e+0", "e") for end in (row["above"], row["up_to"]))
        where = f"{low} to {high}" if row["above"] and high else f"below {high}" if high else f"above {low}"
        rows.append([where, percent(row["prior"]), percent(row["posterior"])])
    return table(["threshold among the doses studied, cells/kg", "#before the data", "#after"], rows)


def shares(models: list[dict]) -> Table:
    """Return the models of an average with their shares."""
    rows = [[m["title"], percent(m["share"]), m["engine"], decimals(m["log_marginal"])] for m in models]
    return table(["model", "#share", "engine", "#log marginal likelihood"], rows)


def _places(places: int, sign: str = "-") -> Callable[[float | None], str]:
    return lambda value: decimals(value, places, sign)


CHECKS: dict[str, dict[str, tuple[str, Callable]]] = {
    "exceeds": {
        "probability that the effect exceeds": ("margin", "{:g}".format),
        "#mean of studies": ("mean_of_studies", percent),
        "#a new study": ("new_study", percent),
    },
    "studies": {
        "without": ("study", str),
        "#amplitude": ("mean", _places(2)),
        "#sd": ("sd", _places(2)),
        "#P(> 0)": ("above", percent),
        "#tau": ("tau", _places(2)),
        "#change in sd": ("change", _places(2, "+")),
        "#log density of it": ("elpd", _places(2)),
    },
    "contrasts": {
        "contrast": ("contrast", str),
        "#log density": ("elpd", _places(2)),
        "#by PSIS": ("elpd_psis", _places(2)),
        "#Pareto k": ("k_hat", _places(2)),
        "#PIT": ("pit", _places(3)),
    },
    "outliers": {
        "study": ("study", str),
        "#outlier before the data": ("prior", percent),
        "#after": ("posterior", percent),
        "#MCSE": ("posterior_mcse", percent),
    },
    "replicated": {
        "replicated data": ("statistic", str),
        "#observed": ("observed", _places(2)),
        "#reached by (posterior)": ("posterior", percent),
        "#by (prior)": ("prior", percent),
    },
    "scaling": {
        "power scaling": ("quantity", str),
        "#moves with the prior": ("prior", _places(3)),
        "#with the data": ("likelihood", _places(3)),
        "diagnosis": ("diagnosis", str),
    },
}
"""The tables of the checks of a model: of each column its heading, its name in answer.json, and how it is written."""


def checks(found: dict) -> dict[str, Table]:
    """Return the checks of a model as tables by name."""
    return {
        name: table(columns, [[write(row[field]) for field, write in columns.values()] for row in found[name]["rows"]])
        for name, columns in CHECKS.items()
    }
