"""Pages that stand alone: figures drawn to files and into the page, templates filled in."""

from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import matplotlib
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from gmfmsim import DISCLAIMER, __version__
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.report.labels import FONT
from gmfmsim.report.look import GREY, STYLE

SLIDES = {"curves", "tornado", "comparison", "dose_response", "analyses", "past", "harm"}
"""Figures that are made for a slide too, as PNG: 16:9, titled, with what they come from."""

SLIDE, SLIDE_DPI = (9.6, 5.4), 200


class Picture(NamedTuple):
    """A figure as SVG, to stand inside a page, and what it shows."""

    svg: str
    caption: str

    def __html__(self) -> str:
        """Return the SVG, which a template does not escape."""
        return self.svg


def draw(
    folder: Path,
    drawings: dict[str, Callable[[], Figure | None]],
    captions: Mapping[str, str],
    prefix: str = "",
    heading: str = "",
    advance: Steps = UNSEEN,
) -> dict[str, Picture]:
    """Draw what there is to draw into `folder`, as SVG and, where it is for slides, as PNG; return each SVG by name, to
    stand inside a page.

    An SVG has its caption as description, and the first sentence of it as title; text in it is text. Its ids begin with
    prefix and name inside the page, so that those of several do not meet. heading: what stands above a slide.
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
            path, caption = folder / f"{name}.svg", captions.get(name, name)
            figure.savefig(path, metadata={"Date": None})
            if name in SLIDES:
                slide = _as_slide(make(), f"{heading}\n{_first_sentence(caption)}".strip())
                slide.savefig(path.with_suffix(".png"), dpi=SLIDE_DPI, metadata={"Software": None})
            svg = _described(path.read_text(encoding="utf-8"), caption)
            path.write_text(svg, encoding="utf-8")
            svg = svg[svg.index("<svg") :]
            for mark in ('id="', 'href="#', "url(#", 'labelledby="', 'describedby="'):
                svg = svg.replace(mark, f"{mark}{prefix}{name}-")
            drawn[name] = Picture(svg, caption)
    return drawn


def _as_slide(figure: Figure, heading: str) -> Figure:
    """Return a figure in the shape of a slide, its title on top and where it comes from below."""
    figure.set_size_inches(SLIDE)
    of = {name: handle for ax in figure.axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    for legend in [*figure.legends]:
        legend.remove()
        names = [text.get_text() for text in legend.get_texts()]
        figure.legend([of[name] for name in names], names, loc="outside right center", frameon=False, fontsize=9)
    lines = "\n".join(fill(line, 100) for line in heading.splitlines())
    figure.suptitle(lines, x=0.01, ha="left", fontsize=12, fontweight="bold", parse_math=False)
    figure.supxlabel(f"gmfmsim {__version__}. {DISCLAIMER}", x=0.01, ha="left", fontsize=7, color=GREY)
    return figure


def _described(svg: str, caption: str) -> str:
    """Return an SVG with title and description, which readers of screens say, and with fonts for machines without ours.

    The fonts that stand in have letters about as wide.
    """
    at = svg.index(">", svg.index("<svg")) if "<svg" in svg else -1
    if at < 0:
        return svg
    said = f'<title id="title">{escape(_first_sentence(caption))}</title><desc id="desc">{escape(caption)}</desc>'
    opened = f'{svg[:at]} role="img" aria-labelledby="title" aria-describedby="desc">'
    return opened + said + svg[at + 1 :].replace(f"'{FONT}'", f"'{FONT}', Verdana, sans-serif")


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".:")


@cache
def _templates() -> Environment:
    """Return the templates of this folder, each compiled once; text from tables and files is escaped."""
    loader, how = PackageLoader("gmfmsim", "report"), {"trim_blocks": True, "lstrip_blocks": True}
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **how)


def filled(template: str, **values: object) -> str:
    """Return a template of this folder with its values filled in."""
    return _templates().get_template(template).render(disclaimer=DISCLAIMER, version=__version__, **values)
