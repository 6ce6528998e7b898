"""What the figures of all pages share: colours, type, one axes above its legend, text at its left edge."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.interpolate import PchipInterpolator

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
    "svg.fonttype": "none",
    "figure.dpi": 100,
}

BESIDE = {"textcoords": "offset points"}
"""Of an annotation: it stands some points beside what it is about."""


def one_axes(height: float) -> tuple[Figure, Axes]:
    """Return a figure of `height` inches with one axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def legend_below(figure: Figure, ax: Axes, columns: int = 2, *, upwards: bool = False) -> None:
    """Put the legend of an axes below the figure; upwards: what was drawn last first."""
    handles, names = (part[:: -1 if upwards else 1] for part in ax.get_legend_handles_labels())
    figure.legend(handles, names, loc="outside lower left", ncols=columns, frameon=False, fontsize=9)


def smooth(x: np.ndarray, y: np.ndarray, points: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve through points without error, monotone between them (Fritsch & Carlson 1980)."""
    if x.size < 3:
        return x, y
    fine = np.union1d(np.linspace(x[0], x[-1], points), np.geomspace(max(x[0], 1), x[-1], points))
    return fine, PchipInterpolator(x, y)(fine)


def at_left(ax: Axes, y: float, text: str, **look: object) -> Text:
    """Write a text at the left edge of an axes, at height y of its data."""
    return ax.text(0, y, text, transform=ax.get_yaxis_transform(), parse_math=False, **{"fontsize": 9} | look)


def without_left_axis(ax: Axes) -> None:
    """Take the vertical axis off: what stands there is said in words."""
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def line_of_no_effect(ax: Axes, at: float = 0) -> None:
    """Draw the grey line behind everything that says where there is no effect."""
    ax.axvline(at, color="#AAAAAA", lw=0.8, zorder=0)


def dose_axis(ax: Axes, dose: list[float], studied: tuple[float, float]) -> None:
    """Make the horizontal axis one of doses from the first to the last of `dose`, those not studied hatched."""
    for edge in ((dose[0], studied[0]), (studied[1], dose[-1])):
        ax.axvspan(*edge, facecolor="white", edgecolor=ORANGE, alpha=0.35, hatch="///", lw=0)
    ax.set(xscale="log", xlim=(dose[0], dose[-1]), xlabel="dose, cells per kg (hatched: not studied)")
