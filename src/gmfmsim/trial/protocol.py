"""A design in the words of a protocol, and where each of its figures comes from."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel

from gmfmsim.files.toml import said
from gmfmsim.trial.analyse.spec import joined as _and
from gmfmsim.trial.analyses import ALONG_DOSES
from gmfmsim.trial.children import Age, Centres, Dropout, Reported, Spread
from gmfmsim.trial.design import Design
from gmfmsim.trial.looks.words import in_sentences
from gmfmsim.trial.reported import in_words
from gmfmsim.trial.sourced import LEVELS, ByLevel, Correlation, Figure, Source

LOSS = {
    "completely_at_random": "completely at random",
    "given_last_value": "by the last observed score (at random given it)",
    "informative": "by the score that is then not seen (not at random)",
}


class SourceRow(NamedTuple):
    """One figure of a design: its key, what it is, its value in words, its unit, its source and how it was checked."""

    key: str
    name: str
    value: str
    unit: str
    source: str
    verified: str


def sources(design: Design) -> list[SourceRow]:
    """Return a row for every figure of a design that has a source, in the order of the design."""
    rows = []
    for key, (name, unit), figure in _sourced(design):
        scale, unit = (100, "%") if unit == "share" else (1, unit)
        value = in_words(design, figure) if isinstance(figure, Reported) else _value(figure, scale)
        rows.append(SourceRow(key, name, value, unit, figure.source, figure.verified))
    return rows


def protocol(design: Design, n: int | None = None) -> str:
    """Return a design as one paragraph of a protocol, with n children in the smallest arm (pairs: n pairs).

    Without n it gives the sizes of the trial as it was run, or none where it was not.
    """
    return " ".join(passages(design, design.sizes(n) if n is not None else design.as_run).values())


def passages(design: Design, sizes: dict[str, int] | None) -> dict[str, str]:
    """Return the sentences of `protocol` by what they are about, in order, with children by arm or without any number.

    title, children, arms, own (what only this kind of design has), visits, success, looks, analyses, losses, source.
    """
    found = {
        "title": design.title.rstrip(".") + ".",
        "children": _children(design),
        "arms": _arms(design, sizes),
        "own": " ".join(design.own_words()),
        "visits": _visits(design),
        "success": _success(design),
        "looks": in_sentences(design.looks, design.alpha) if design.looks else "",
        "analyses": " ".join(_analyses(design)),
        "losses": " ".join(_losses(design, sizes)),
        "source": f"Source: {design.source}" + ("" if design.source.endswith(".") else "."),
    }
    return {name: text for name, text in found.items() if text}


def _sourced(value: BaseModel, key: str = "") -> Iterator[tuple[str, tuple[str, str], Source]]:
    """Yield every part of a design that names its source, with its key, what it is, and its unit."""
    for name, field in type(value).model_fields.items():
        part, path = getattr(value, name), f"{key}.{name}".lstrip(".")
        if isinstance(part, Source):
            yield path, said(field), part
        elif isinstance(part, BaseModel):
            yield from _sourced(part, path)


def _value(figure: Source, scale: int) -> str:
    """Return the value of a sourced figure in words, without its unit, times a scale."""
    if isinstance(figure, Age):
        return f"{figure.low:g} to {figure.high:g}, median {figure.median:g}"
    if isinstance(figure, Centres):
        if figure.sd is not None:
            return f"{figure.number}, SD between them {figure.sd:g}"
        return f"{figure.number}, ICC {figure.icc:g}" + (f", SD of it {figure.icc_sd:g}" if figure.icc_sd else "")
    if isinstance(figure, ByLevel):
        ends = zip(figure.low or figure.value, figure.high or figure.value, strict=True)
        each = zip(LEVELS, figure.value, ends, strict=True)
        return "; ".join(f"{level} {_ranged(v, *end, scale)}" for level, v, end in each)
    assert isinstance(figure, Figure)
    text = _ranged(figure.value, figure.low, figure.high, scale)
    if isinstance(figure, Spread) and figure.sigma:
        tails = (
            f"logarithm Student t of {figure.df:g} degrees of freedom, scale" if figure.df else "SD of its logarithm"
        )
        text += f", {tails} {figure.sigma:g}"
    if isinstance(figure, Correlation) and figure.sd:
        text += f", SD {figure.sd:g}"
    if isinstance(figure, Dropout):
        text += f", {LOSS[figure.mechanism]}" + (f", slope {figure.slope:g}" if figure.slope else "")
    return text


TOTAL = "A dose is the total over all infusions."


def _ranged(value: float, low: float | None, high: float | None, scale: float = 1) -> str:
    """Return a value with its range, where it has one."""
    low, high = (value if end is None else end for end in (low, high))
    ends = f" ({low * scale:g} to {high * scale:g})" if low < high else ""
    return f"{value * scale:g}{ends}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _months(months: list[float]) -> str:
    return _and([f"{m:g}" for m in months]) + (" month" if months == [1] else " months")


def _children(design: Design) -> str:
    """Say who is enrolled."""
    children = design.children
    if children.kind == "normal":
        return (
            f"Children have normal scores, mean {children.baseline.value:g} and SD {children.baseline_sd.value:g} "
            f"GMFM-66 points at baseline, and gain {children.growth.value:g} points in 12 months without cells."
        )
    levels = [level for level, share in zip(LEVELS, children.mix.value, strict=True) if share > 0]
    in_a_row = len(levels) > 2 and "".join(levels) in "".join(LEVELS)
    named = f"{levels[0]} to {levels[-1]}" if in_a_row else _and(levels)
    age = children.age
    return (
        f"Children with cerebral palsy, GMFCS level{'s' if len(levels) > 1 else ''} {named}, "
        f"{age.low:g} to {age.high:g} years old (half of them below {age.median:g}), are enrolled."
    )


def _arms(design: Design, sizes: dict[str, int] | None) -> str:
    """Say how children come to arms and what each arm gets."""
    counts = ["" if sizes is None else ", " + _count(sizes[arm.name], "child", "children") for arm in design.arms]
    arms = [f"{a.name} ({design.dose_words(a)}{count})" for a, count in zip(design.arms, counts, strict=True)]
    verb = "allocated" if design.randomisation.method == "none" else "randomised"
    ratios = ":".join(f"{arm.ratio:g}" for arm in design.arms)
    return f"{design.allocated(verb, ratios, _method(design))}: {_and(arms)}. {TOTAL}"


def _method(design: Design) -> str:
    """Say how the random sequence is made, or that there is none."""
    plan = design.randomisation
    if plan.method == "none":
        return " without randomisation"
    if plan.method == "stratified":
        strata = _and([{"level": "GMFCS level", "age": "age"}[s] for s in plan.strata])
        return f" in permuted blocks of {plan.block}, stratified by {strata}"
    if plan.method == "simple":
        return ", each child by itself"
    return " in permuted blocks" + (f" of {plan.block}" if plan.block else "")


def _visits(design: Design) -> str:
    """Say when the endpoint is measured."""
    centres = design.children.centres
    where = "" if centres is None else f" at {_count(centres.number, 'centre')}"
    present = ""
    if design.onset is not None:
        shares = _and([f"{100 * share:g}" for share in design.onset])
        present = f" Of the effect {shares} % are supposed to be present then."
    scale = design.children.scale
    own = (
        "" if scale is None else f" The trial used another scale, a point of which is taken as {scale.value:g} points."
    )
    return (
        f"The GMFM-66 is measured{where} at baseline and {_months(design.visits)} after the first infusion; "
        f"the endpoint is that at {_months([design.month])}.{own}{present}"
    )


def _success(design: Design) -> str:
    """Say what success means."""
    margin, claim = design.objective.margin, design.objective.claim
    if isinstance(design.analyses[0], ALONG_DOSES) and claim == "superiority":
        return f"The trial succeeds if the primary analysis finds a gain at two-sided alpha {design.alpha:g}."
    if design.looks:
        return (
            f"The trial succeeds if the primary analysis finds a gain of {design.contrast_words} beyond the bound of a "
            f"look or of the end (two-sided alpha {design.alpha:g} over all of them)."
        )
    where = {
        "superiority": "above 0",
        "non_inferiority": f"above -{margin:g} points (non-inferiority)",
        "equivalence": f"between -{margin:g} and {margin:g} points (equivalence)",
    }[claim]
    relevant = design.objective.decision_value
    besides = f", and its estimate above {relevant:g} points" if relevant is not None else ""
    return (
        f"The trial succeeds if the {100 * (1 - design.alpha):g} % interval of the effect of {design.contrast_words} "
        f"lies {where} (two-sided alpha {design.alpha:g}){besides}."
    )


def _analyses(design: Design) -> list[str]:
    """Say how the trial is analysed, the primary analysis first."""
    first, *others = (a.words(design) for a in design.analyses)
    primary = f"The primary analysis is {first}."
    return [primary, f"For comparison, on the same children: {'; '.join(others)}."] if others else [primary]


def _losses(design: Design, sizes: dict[str, int] | None) -> list[str]:
    """Say how many children are allowed to be lost, and how many must be enrolled."""
    dropout, missed, run_in = design.children.dropout, design.children.missed.value, design.run_in
    sentences = ["No child is expected to be lost."]
    if dropout.value:
        lost = f"{100 * dropout.value:g} % of children"
        sentences = [f"{lost} are expected to be lost before the last visit, {LOSS[dropout.mechanism]}."]
    if missed and len(design.visits) > 1:
        sentences.append(f"Of the earlier visits {100 * missed:g} % are missed by children who stay.")
    if run_in:
        loss, total = run_in.loss.value, sum((sizes or {}).values())
        enrol = f", so that {math.ceil(total / (1 - loss))} are enrolled for {total} randomised" if total else ""
        sentences.append(
            f"A run-in of {_months([run_in.months])} comes before, in which {100 * loss:g} % are expected to be "
            f"lost{enrol}."
        )
    return sentences
