"""Pages that stand alone: figures drawn to files and into the page, templates filled in."""

from collections.abc import Callable
from pathlib import Path

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from gmfmsim import DISCLAIMER, __version__
from gmfmsim.report.labels import FONT

BLUE, ORANGE, GREEN, GREY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#666666", "#CC79A7"
"""Colours that the colour-blind tell apart (Okabe & Ito 2008)."""

WIDTH = 5.0
"""Inches: figures are narrow, so that they read on a phone."""

LINE = 0.95 * 72 * WIDTH
"""Points: a line of text over the whole of a figure."""

STYLE = {
    "font.family": FONT,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "gmfmsim",
    "svg.fonttype": "path",
    "figure.dpi": 100,
}


def draw(folder: Path, drawings: dict[str, Callable[[], Figure | None]], prefix: str = "") -> dict[str, str]:
    """Draw what there is to draw as SVG and PNG into `folder`; return each SVG by name, to stand inside a page.

    In the page the ids of an SVG begin with prefix and name, so that those of several do not meet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    with matplotlib.rc_context(STYLE):
        for name, make in drawings.items():
            figure = make()
            if figure is None:
                continue
            path = folder / f"{name}.svg"
            figure.savefig(path, metadata={"Date": None})
            figure.savefig(path.with_suffix(".png"), dpi=200, metadata={"Software": None})
            svg = path.read_text(encoding="utf-8")
            svg = svg[svg.index("<svg") :]
            for mark in ('id="', 'href="#', "url(#"):
                svg = svg.replace(mark, f"{mark}{prefix}{name}-")
            drawn[name] = svg
    return drawn


def filled(template: str, filters: dict[str, Callable], **values: object) -> str:
    """Return a template of this folder with its values filled in; text from tables and files is escaped."""
    loader = PackageLoader("gmfmsim", "report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    return environment.get_template(template).render(disclaimer=DISCLAIMER, version=__version__, **values)


def write_page(path: Path, template: str, filters: dict[str, Callable], **values: object) -> None:
    """Write a page: a template of this folder with its values filled in."""
    path.write_text(filled(template, filters, **values), encoding="utf-8")
