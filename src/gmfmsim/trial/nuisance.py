"""Type I error where it should hold: on the border of the claim, over what nobody knows of the children."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.trial.analyses import Historical, OneSample
from gmfmsim.trial.children import Children, Dropout
from gmfmsim.trial.decide import claim
from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.operate import operate, primary_only

VOLUNTEERS = {
    1.4: ", the low end of the interval of ACCeNT-CP",
    3.1: ", the mean of ACCeNT-CP",
    5.0: ", the high end of the interval of ACCeNT-CP",
}
"""What untreated volunteers gained in 12 months beyond the growth curves, in points (Sun 2022, abstract)."""


def border(design: Design) -> float:
    """Return the effect on the border of the claim, where the error of claiming it is largest (points).

    0 for superiority, -margin for non-inferiority, margin for equivalence.
    """
    return claim(design)[-1].threshold


def settings(design: Design) -> Iterator[tuple[str, Design]]:
    """Yield other children that the same trial may meet: as declared; more and less spread; other losses.

    Of a trial without a control group first what its claim rests on, `gains`. excess_sd at its 5 and 95 % quantiles
    (half and double where it is taken as known); how alike children of a unit or a centre are, at the same quantiles
    where it is not known; no drop-out and twice as much; losses that depend on the scores, by
    mechanism; a fifth of the visits missed.
    """
    children = design.children
    if design.control is None:
        yield from gains(design)
    yield "as declared", design
    sd = children.excess_sd
    factor = float(sd.distribution.ppf(np.array(0.95))) / sd.value if sd.sigma else 2.0
    for word, value in (("low", sd.value / factor), ("high", sd.value * factor)):
        yield f"{word} excess SD ({value:.3g} points)", _with(design, excess_sd=_moved(sd, value, sigma=0, df=None))
    yield from _alike(design)
    lost = children.dropout
    for value in dict.fromkeys((0.0, round(min(2 * lost.value, 0.4), 4))):
        yield f"drop-out {value:.3g}, at random", _with(design, dropout=_lost(lost, value, "completely_at_random", 0))
    share = max(lost.value, 0.15)
    for mechanism, words in (("given_last_value", "the last value seen"), ("informative", "the value not seen")):
        changed = _lost(lost, share, mechanism, -0.7)
        yield f"drop-out {share:.3g}, of children who do badly by {words}", _with(design, dropout=changed)
    if len(design.visits) > 1:
        yield "a fifth of the visits missed", _with(design, missed=_moved(children.missed, 0.2))


def _alike(design: Design) -> Iterator[tuple[str, Design]]:
    """Yield the correlation within pairs or clusters, and the ICC of centres, at both ends of its law."""
    ends, within, centres = np.array([0.05, 0.95]), design.unit_correlation, design.children.centres
    for value in within.distribution.ppf(ends).tolist() if within and within.sd else ():
        yield f"correlation within {design.UNIT} {value:.3g}", design.correlated(value)
    for value in centres.law.ppf(ends).tolist() if centres and centres.icc_sd else ():
        known = centres.model_copy(update={"icc": value, "icc_sd": None})
        yield f"ICC of centres {value:.3g}", _with(design, centres=known)


def gains(design: Design) -> Iterator[tuple[str, Design]]:
    """Yield what children may gain without cells, which no control group shows and which enters the estimate whole.

    The gain of volunteers (normal children against historical ones: their growth) at the ends of the interval that is
    cited for it, at its value, and at VOLUNTEERS, from which no trial without a control group can tell its own. Against
    historical children then, with the gain as declared, their true mean at the ends of its 95 % interval,
    mean -+ t sd / sqrt(n), while the published one stays what it is.
    """
    historical = [a for a in design.analyses if isinstance(a, Historical)]
    named = {"population": "volunteer_gain", "normal": "growth"}[design.children.kind]
    gain = getattr(design.children, named)
    if named == "volunteer_gain" or historical:
        who = "volunteers" if named == "volunteer_gain" else "children"
        ends = dict(VOLUNTEERS) if named == "volunteer_gain" else {}
        ends |= {gain.low: ", the low end of what is cited", gain.high: ", the high end", gain.value: ", as declared"}
        for value in sorted(value for value in ends if value is not None):
            words = f"{who} gain {value:g} points in 12 months{ends[value]}"
            yield words, _with(design, **{named: _moved(gain, value)})
    elif any(isinstance(a, OneSample) for a in design.analyses):
        for value, words in VOLUNTEERS.items():
            yield f"volunteers gain {value:g} points in 12 months beyond their growth{words}", with_gain(design, value)
    for end, sign in (("low", -1), ("high", 1)) if historical else ():
        half = {a: sign * float(-special.stdtrit(a.n - 1, 0.025)) * a.sd / np.sqrt(a.n) for a in historical}
        means = ", ".join(f"{a.mean + half[a]:.3g} for {a.mean:g}" for a in historical)
        # children who gain `half` more against the published mean are as those whose published mean is that much lower
        moved = [a.model_copy(update={"mean": a.mean - half[a]}) if a in half else a for a in design.analyses]
        words = f"historical children truly gain {means} points, the {end} end of 95 %"
        yield words, design.model_copy(update={"analyses": moved})


def with_gain(design: Design, gain: float) -> Design:
    """Return the design with volunteers who gain so many points in 12 months beyond what is expected of them.

    Normal children have no such gain of their own: there the allowance of a one-sample test is that much lower, which
    is the same to the test.
    """
    if design.children.kind == "population":
        return _with(design, volunteer_gain=_moved(design.children.volunteer_gain, gain))
    gained = gain * min(design.month / 12, 1)
    lower = [
        a.model_copy(update={"allowance": a.allowance - gained}) if isinstance(a, OneSample) else a
        for a in design.analyses
    ]
    return design.model_copy(update={"analyses": lower})


def type_one(
    design: Design, n: int, *, replicates: int, seed: int, primary: bool = False, advance: Steps = UNSEEN
) -> xr.Dataset:
    """Return the share of false claims on the border of the claim over `settings`: nominal is alpha / 2.

    primary: of the primary analysis alone, which meets the same trials.
    Returns type_one, type_one_mcse, failed (setting, analysis); a trial that could not be analysed claims nothing.
    """
    labels = [a.label for a in (design.analyses[:1] if primary else design.analyses)]  # a setting may move an allowance
    rows, them = [], list(settings(design))
    advance.expect(len(them))
    for name, changed in them:
        truths = fixed_truths(changed, border(changed), replicates, seed)
        of, engine = primary_only(changed) if primary else (changed, "auto")
        found = operate(truths, of, n=[n], seed=seed, engine=engine).isel(scenario=0, n=0, drop=True)
        rows.append(found[["success", "success_mcse", "failed"]].assign_coords(setting=name, analysis=labels))
        advance()
    table = xr.concat(rows, dim="setting").rename(success="type_one", success_mcse="type_one_mcse")
    return table.assign_attrs(nominal=design.alpha / 2, n=n, replicates=replicates)


def _with(design: Design, **changes) -> Design:
    children: Children = design.children.model_copy(update=changes)
    return design.model_copy(update={"children": children})


def _moved(figure, value: float, **more):
    return figure.model_copy(update={"value": value, "low": None, "high": None, "verified": "assumed"} | more)


def _lost(dropout: Dropout, value: float, mechanism: str, slope: float) -> Dropout:
    return _moved(dropout, value, mechanism=mechanism, slope=slope)
