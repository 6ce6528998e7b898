"""What a claim comes to, in sentences."""

from collections.abc import Iterable
from typing import Any

from gmfmsim.compute.text import decimals, percent

ENOUGH_CHILDREN = 50
"""Children of a report for whom the sentence says what would happen without cells, or the next larger number."""


def claim_sentences(answer: dict[str, Any]) -> list[str]:
    """Return what the page says first: what happens without cells, what the claim leaves of the effect, what designs
    would show."""
    return [*_without_cells(answer), _of_effect(answer), *_of_designs(answer)]


def children_said(answer: dict[str, Any]) -> int:
    """Return the number of children for whom the sentences say what would happen."""
    sizes: Iterable[int] = answer["sizes"]
    return next((n for n in sizes if n >= ENOUGH_CHILDREN), answer["sizes"][-1])


def any_gain(margin: float) -> str:
    """Say what a child gains who is counted."""
    return "something" if margin == 0 else f"more than {margin:g} point{'' if margin == 1 else 's'}"


def in_points(value: float) -> str:
    """Write points with one decimal, and no minus before nought."""
    return decimals(round(value, 1) + 0.0, 1)


def false_claims_at(design: dict[str, Any], gain: float) -> dict[str, Any]:
    """Return what the primary analysis of a design claims without an effect, at the gain of volunteers next to one."""
    rows = [row for row in design["false_claims"] if row["analysis"] == design["primary"]]
    return min(rows, key=lambda row: abs(row["gain"] - gain))


def _without_cells(answer: dict[str, Any]) -> list[str]:
    first, n = answer["populations"][0], children_said(answer)
    improve, chance = first["improve"], [row for row in first["chance"] if row["children"] == n]
    ends = [0, -1] if len(improve) > 1 else [0]
    gained = ", ".join(f"{percent(improve[i]['all'])} gain {any_gain(improve[i]['margin'])}" for i in ends)
    reached = ", ".join(
        f"{percent(chance[i]['all'])} if a child counts that gains {any_gain(chance[i]['margin'])}" for i in ends
    )
    return [
        f"Without cells, {gained} in {answer['months']:g} months.",
        f"These are {first['title'][0].lower()}{first['title'][1:]}, who grow and, as volunteers, gain beside it.",
        f"At least {percent(answer['share'])} of {n} of them improve with a probability of {reached}.",
    ]


def _of_effect(answer: dict[str, Any]) -> str:
    first, n = answer["populations"][0]["name"], children_said(answer)
    row = next(
        r for r in answer["given_the_claim"] if (r["population"], r["children"], r["margin"]) == (first, n, None)
    )
    zero = "no effect at all is among them" if row["low"] <= 0 <= row["high"] else "no effect at all is not among them"
    return (
        f"So {row['improved']} improved children of {n} leave effects from {in_points(row['low'])} to "
        f"{in_points(row['high'])} points (95 %): {zero}, and an effect above it has a probability of "
        f"{percent(row['above_0'])}."
    )


def _of_designs(answer: dict[str, Any]) -> list[str]:
    found = []
    for d in answer["designs"]:
        values = [r["value"] for r in d["false_claims"] if r["analysis"] == d["primary"]]
        ends = f"{percent(min(values))} to {percent(max(values))}"
        if not d["controlled"] and not found:
            mean, high = (answer["volunteers"][end] for end in ("mean", "high"))
            at_mean, at_high = (percent(false_claims_at(d, gain)["value"]) for gain in (mean, high))
            found.append(
                f"A trial of {d['n_total']} children without a control group claims a gain that is not there in "
                f"{at_mean} of repetitions if volunteers gain {mean:g} points beside their growth, as cited, and in "
                f"{at_high} if they gain {high:g}, the high end of what is cited."
            )
        elif d["controlled"]:
            power = "; ".join(f"{percent(r['value'])} for {r['effect']:g} points" for r in d["power"])
            found.append(
                f"With a control group as many children claim it in {ends}, whatever volunteers gain; a true gain they "
                f"find with a power of {power}."
            )
    return found
