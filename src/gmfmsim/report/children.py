"""Are these the children you know: level, score and age, change without cells, and who is lost, drawn."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special

from gmfmsim.evidence.schema import Tables
from gmfmsim.report.html import BLUE, GREY, LINE, ORANGE, WIDTH
from gmfmsim.report.labels import Labels, labels, with_key
from gmfmsim.streams import stream
from gmfmsim.trial.children import NormalChildren, PopulationChildren
from gmfmsim.trial.designs import Design
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.sourced import LEVELS

CAPTION = {
    "population": "The children that this plan simulates, without cells. GMFCS level: share of children. Score and "
    "age: mean curve of each level and the middle half of its children (on their curves, before measurement error); "
    "each orange stroke is one simulated child, from baseline to endpoint as measured. Change: "
    "median, half and 95 % of the simulated children seen at the endpoint{reported}. Last: children still in "
    "the trial.",
    "normal": "The children that this plan simulates, without cells: scores at baseline, changes at the endpoint as "
    "measured (dashed: median; shaded: 95 %), the correlation of scores between visits, and children still in the "
    "trial.",
}
REPORTED = "; grey, control children of published trials at the same month (mean, half and 95 % if they were normal)"

SMALL = 8
"""Points: the smallest type."""


class Reported(NamedTuple):
    """Change of the control children of a published trial, GMFM-66 points: mean, SD, children, where it was read."""

    study: str
    mean: float
    sd: float
    n: int
    source_url: str


def reported_changes(tables: Tables, month: float) -> list[Reported]:
    """Return the changes of control arms on GMFM-66 at `month` whose mean and SD are reported and not in doubt."""
    control = {(a["study_id"], a["arm_id"]) for a in tables.where("arms", role="control")}
    rows = tables.where("outcomes", scale="GMFM-66", kind="change", month=month, preferred="yes")
    return [
        Reported(r["study_id"], r["mean"], r["sd"], r["n"], r["source_url"])
        for r in rows
        if (r["study_id"], r["arm_id"]) in control
        and r["sd_source"] == "reported"
        and not r["spread_suspect"]
        and None not in (r["mean"], r["sd"], r["n"])
    ]


def children_caption(design: Design, reported: Iterable[Reported] = ()) -> str:
    """Say what children_figure shows."""
    reported = list(reported)
    return with_key(CAPTION[design.children.kind].format(reported=REPORTED if reported else ""), _names(reported))


def _names(reported: Iterable[Reported]) -> Labels:
    """Return the labels of published trials beside the axis."""
    return labels((r.study for r in reported), LINE / 4, SMALL)


def children_figure(design: Design, seed: int, reported: Iterable[Reported] = (), *, trials: int = 400) -> Figure:
    """Draw the children of a design as simulated without cells, small multiples by GMFCS level where it has levels.

    reported: changes of published control arms, drawn beside the simulated ones. The SD of the change is at its
    median; children are those of the arm without cells and without a second drug, or all where there is none.
    """
    from gmfmsim.trial.generate.children import draw_trials  # compiled code: loaded only where it is needed

    sd = np.full(trials, design.children.excess_sd.value)
    rng = stream(seed, "children figure")
    block = draw_trials(design, design.at_least(25), np.zeros((len(design.arms), trials)), sd, rng)
    if isinstance(design.children, NormalChildren):
        return _normal(design, block)
    return _population(design, block, list(reported))


def curve_band(children: PopulationChildren, age: np.ndarray) -> np.ndarray:
    """Return mean and quartiles (3, 5, ages) of the score on the curves by level at age (ages,) in years.

    Over 60 equally probable limits and as many rates: L (1 - exp(-k a)), cut to the scale.
    """
    z = special.ndtri((np.arange(60) + 0.5) / 60)
    limit = np.array(children.limit.value) + children.limit_sd * z[:, None]
    rate = children.rate * np.exp(-children.rate_spread.value * z[:, None])
    score = limit[:, None, :, None] * -np.expm1(-rate[:, :, None] * age)
    score = score.clip(children.floor.value, children.ceiling.value).reshape(-1, 5, age.size)
    return np.concatenate([score.mean(axis=0)[None], np.quantile(score, [0.25, 0.75], axis=0)])


def still_in_trial(trials: Trials) -> np.ndarray:
    """Return the share of children (1 + V,) seen at each visit or later, baseline first."""
    seen = ~np.isnan(trials.score[::-1])
    return np.logical_or.accumulate(seen)[::-1].mean(axis=(1, 2))


def untreated(design: Design, block: Trials) -> np.ndarray:
    """Return which children (N, R) get neither cells nor drug before the endpoint; all where every arm gets them."""
    plain = [i for i, arm in enumerate(design.arms) if arm.dose == 0 and not arm.drug]
    return np.isin(block.group, plain) if plain else np.ones(block.group.shape, bool)


# children of the growth curves


def _population(design: Design, block: Trials, reported: list[Reported]) -> Figure:
    figure = Figure(figsize=(WIDTH, 9.6 + 0.3 * len(reported)), layout="constrained")
    parts = figure.subfigures(4, 1, height_ratios=[1.6, 3, 3.2 + 0.3 * len(reported), 1.8])
    _mix(parts[0].subplots(), design.children)
    _score_and_age(parts[1], design, block)
    _changes(parts[2].subplots(), design, block, reported)
    _retention(parts[3].subplots(), design, block)
    return figure


def _mix(ax: Axes, children: PopulationChildren) -> None:
    bars = ax.bar(LEVELS, children.shares, color=BLUE, width=0.65)
    ax.bar_label(bars, [f"{100 * s:.0f} %" for s in children.shares], padding=1)
    ax.set(yticks=[], xlabel="GMFCS level", ylim=(0, 1.25 * children.shares.max()))
    ax.spines["left"].set_visible(False)
    _title(ax, "Children by level")


def _score_and_age(part: Figure, design: Design, block: Trials) -> None:
    children, years = design.children, design.month / 12
    age = np.linspace(max(children.age.low, 0.1), children.age.high + years, 80)
    mean, low, high = curve_band(children, age)
    score, end = block.score[0], block.score[1 + design.endpoint]
    drawn = (untreated(design, block) & ~np.isnan(end)).T  # trial by trial, so that the first have the mix of all
    start, end, level, at = (x.T[drawn][:150] for x in (score, end, block.level, block.age))
    there = np.flatnonzero(children.shares)
    axes = part.subplots(1, there.size, sharex=True, sharey=True, squeeze=False)[0]
    for g, ax in zip(there, axes, strict=True):
        ax.fill_between(age, low[g], high[g], color=BLUE, alpha=0.25, lw=0)
        ax.plot(age, mean[g], color=BLUE, lw=1.8)
        of = level == g
        ax.plot([at[of], at[of] + years], [start[of], end[of]], color=ORANGE, lw=0.9, alpha=0.75)
        ax.set_title(f"level {LEVELS[g]}", fontsize=9)
    axes[0].set(ylim=(0, 100), xlim=(age[0], age[-1]), ylabel="GMFM-66, points")
    axes[0].locator_params(axis="x", nbins=3, integer=True)
    part.supxlabel("age, years", fontsize=10)
    part.suptitle("Score and age by level", x=0.01, ha="left", fontsize=11, fontweight="bold")


def _changes(ax: Axes, design: Design, block: Trials, reported: list[Reported]) -> None:
    change = block.change[design.endpoint]
    kept = untreated(design, block) & ~np.isnan(change)
    groups = [(f"level {LEVELS[g]}", kept & (block.level == g)) for g in range(5)] + [("all", kept)]
    rows, names = [], _names(reported)
    for name, of in groups:
        if of.any():
            _range(ax, len(rows), np.quantile(change[of], [0.025, 0.25, 0.5, 0.75, 0.975]), BLUE, "o")
            rows.append(name)
    for r in reported:
        normal = r.mean + r.sd * special.ndtri([0.025, 0.25, 0.5, 0.75, 0.975])
        _range(ax, len(rows), normal, GREY, "s")
        rows.append(f"{names.of[r.study]}\n({r.n:g} children)")
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6), xlabel="change, GMFM-66 points")
    for text in ax.set_yticklabels(rows, parse_math=False)[len(rows) - len(reported) :]:
        text.set_fontsize(SMALL)
    ax.axvline(0, color="#AAAAAA", lw=0.8, zorder=0)
    _title(ax, f"Change in {design.month:g} months without cells")


def _range(ax: Axes, y: float, quantiles: np.ndarray, colour: str, marker: str) -> None:
    """Draw a median, its half and its 95 %, and write the median above."""
    lowest, low, middle, high, highest = quantiles
    ax.plot([lowest, highest], [y, y], color=colour, lw=1.2)
    ax.plot([low, high], [y, y], color=colour, lw=5, alpha=0.5, solid_capstyle="butt")
    ax.plot(middle, y, marker, color=colour, ms=6)
    ax.annotate(f"{middle:.1f}", (middle, y), (0, 5), textcoords="offset points", ha="center", fontsize=SMALL)


# normal children


def _normal(design: Design, block: Trials) -> Figure:
    figure = Figure(figsize=(WIDTH, 8.4), layout="constrained")
    parts = figure.subfigures(4, 1, height_ratios=[2, 2, 2.6, 1.8])
    kept = untreated(design, block)
    _histogram(parts[0].subplots(), block.score[0][kept], "Score at baseline", "GMFM-66, points")
    change = block.change[design.endpoint][kept]
    title = f"Change in {design.month:g} months without cells"
    _histogram(parts[1].subplots(), change[~np.isnan(change)], title, "change, GMFM-66 points")
    _correlation(parts[2].subplots(), design)
    _retention(parts[3].subplots(), design, block)
    return figure


def _histogram(ax: Axes, values: np.ndarray, title: str, label: str) -> None:
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    ax.hist(values, bins=50, color=BLUE, alpha=0.8)
    ax.axvspan(low, high, color=BLUE, alpha=0.12, lw=0, zorder=0)
    ax.axvline(middle, color="black", lw=1.2, ls="--")
    ax.set(yticks=[], xlabel=f"{label} (median {middle:.1f}; 95 % from {low:.1f} to {high:.1f})")
    ax.spines["left"].set_visible(False)
    _title(ax, title)


def _correlation(ax: Axes, design: Design) -> None:
    _, covariance = design.children.moments(np.array(design.visits), design.children.excess_sd.value)
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    names = _visits(design)
    ax.imshow(correlation, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
    for (i, j), r in np.ndenumerate(correlation):
        ax.text(j, i, f"{r:.2f}", ha="center", va="center", fontsize=SMALL, color="white" if r > 0.75 else "black")
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("month")
    _title(ax, "Correlation of the scores")


# both


def _retention(ax: Axes, design: Design, block: Trials) -> None:
    share, names = still_in_trial(block), _visits(design)
    ax.plot(names, share, "o-", color=BLUE, lw=1.8, ms=6)
    for i, s in enumerate(share):
        ax.annotate(f"{100 * s:.0f} %", (i, s), (0, 7), textcoords="offset points", ha="center", fontsize=9)
    ax.set(ylim=(0, 1.25), xlim=(-0.4, len(names) - 0.6), xlabel="month")
    ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    _title(ax, "Still in the trial")


def _visits(design: Design) -> list[str]:
    return ["0", *(f"{v:g}" for v in design.visits)]


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, loc="left", fontsize=11, fontweight="bold")
