"""Pages that stand alone: figures drawn to files and into the page, templates filled in."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from gmfmsim import DISCLAIMER, __version__
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.report.look import STYLE


def draw(
    folder: Path, drawings: dict[str, Callable[[], Figure | None]], prefix: str = "", advance: Steps = UNSEEN
) -> dict[str, str]:
    """Draw what there is to draw as SVG and PNG into `folder`; return each SVG by name, to stand inside a page.

    In the page the ids of an SVG begin with prefix and name, so that those of several do not meet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    advance.expect(len(drawings))
    with matplotlib.rc_context(STYLE):
        for name, make in drawings.items():
            figure = make()
            advance()
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


@cache
def _templates() -> Environment:
    """Return the templates of this folder, each compiled once; text from tables and files is escaped."""
    loader, how = PackageLoader("gmfmsim", "report"), {"trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **how)


def filled(template: str, **values: object) -> str:
    """Return a template of this folder with its values filled in."""
    return _templates().get_template(template).render(disclaimer=DISCLAIMER, version=__version__, **values)
