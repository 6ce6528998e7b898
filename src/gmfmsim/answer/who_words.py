"""Who gains most, in sentences."""

from typing import Any

from gmfmsim.compute.text import decimals, percent

STEP = {"age": "a year of mean age", "gmfcs": "a mean GMFCS level"}
LITTLE = 0.3
"""By how much a probability moves at least where the data are said to tell of it."""
FALLS = {"age": "older children gain less", "gmfcs": "severer palsy gains less"}


def who_sentences(answer: dict[str, Any]) -> list[str]:
    """Return what the page says first: slopes, trials of bands, what the test of subgroups takes, and the claim."""
    parts = [sentence for part in answer["by"] for sentence in _part(part, answer)]
    beside = [answer["note"]] if answer["note"] else []
    return [*parts, *_held(answer["held"]), CAUTION, *beside]


CAUTION = (
    "All of this compares trials, which differ in cells, route and month too: it is no difference between the children "
    "of one trial, and no cause."
)


def children(n: int | None) -> str:
    """Say a number of children, or that none does."""
    return "none" if n is None else f"{n:,}"


def _part(part: dict[str, Any], answer: dict[str, Any]) -> list[str]:
    slope, split = part["slope"], part["subgroups"]
    first, second = (group["words"] for group in split["groups"])
    studied = [band for band in part["bands"] if not band["outside"]]
    bands = ", ".join(f"{band['words']} {children(band['n_total'])}" for band in studied) or "none was studied"
    beyond = ", ".join(band["words"] for band in part["bands"] if band["outside"])
    target = answer["target"]
    said = [
        f"Between trials the effect changes by {decimals(slope['mean'], 2, '+')} points with {STEP[part['term']]} "
        f"({decimals(slope['low'], 2)} to {decimals(slope['high'], 2)} in 95 %); that {FALLS[part['term']]} has a "
        f"probability of {percent(slope['below_0'])}.",
        f"For {percent(target['value'])} {target['metric']} a trial would need, by its children: {bands}."
        + (f" Trials of {beyond} alone lie beyond the means that were studied." if beyond else ""),
    ]
    if split["power"] is None:
        return said
    needed = split["needed"][0]
    return [
        *said,
        f"The {children(split['both']['n_total'])} children that show the effect in {first} and {second} together "
        f"tell whether the two differ with a power of {percent(split['power'])} if the slope is as estimated and "
        f"holds between the children of one trial; for {percent(answer['power'])} that takes "
        f"{children(needed['n_total'])}.",
    ]


def _held(held: dict[str, Any] | None) -> list[str]:
    if held is None:
        return []
    claim, moved = held["claim"], abs(held["after"] - held["before"])
    little = ": the trials say little of it" if moved < LITTLE else ""
    return [
        f"The claim that {claim['low']:g} to {claim['high']:g} {claim['unit']} is the {claim['quantity']} "
        f"({claim['claim_id']}) has a probability of {percent(held['after'])} after the data and "
        f"{percent(held['before'])} before{little}."
    ]
