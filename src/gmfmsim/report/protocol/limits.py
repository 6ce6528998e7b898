"""What the evidence behind a number cannot carry, a line each, with the number under each where the result holds it."""

from collections.abc import Iterator


def extremes(rows: list[dict]) -> tuple[dict, dict]:
    """Return the rows with the fewest children and with the most; none is more than any number."""

    def children(row: dict) -> tuple[bool, float]:
        return row["n_total"] is None, -row["plateau"] if row["n_total"] is None else row["n_total"]

    return min(rows, key=children), max(rows, key=children)


def moved(row: dict) -> str:
    """Say a number and under what it stands: 886 (without Huang2018)."""
    return f"{row['n_total'] or 'none'} ({row['words']})"


def evidence_limits(plan: dict) -> Iterator[str]:
    """Yield the limits of the evidence of a plan."""
    facts = plan["protocol"]
    yield from plan["warnings"]
    yield _missing(facts["unpublished"])
    yield _small_studies(plan)
    yield from _readings(plan)
    yield from _mixed(plan)
    yield from plan["evidence"]["notes"]
    if plan["evidence"]["published"]:
        yield "One published estimate stands for all evidence; its faults and those of its trials are in the number."
    if facts["partial"]:
        yield (
            "What only a run computes is not here: what small studies report, the number under other models, evidence, "
            "readings and priors, false claims of a design under other children. gmfmsim protocol says it from the "
            "folder that gmfmsim run, or of a design gmfmsim simulate, has written."
        )


def _missing(trials: list[dict]) -> str:
    """Say which registered trials never reported."""
    if not trials:
        return ""
    said = [f"{t['registration']} ({t['children'] or 'unknown number of'} children; {t['seen_in']})" for t in trials]
    return (
        f"Controlled trials that were registered and of which no result is known: {', '.join(said)}. What they found "
        "would change the number."
    )


def _changed(plan: dict, *kinds: str) -> list[dict]:
    """Return the changed assumptions of some kinds."""
    return [row for row in plan["sensitivity"] if row["changed"] in kinds]


def _under(rows: list[dict], every: bool = False) -> str:
    """Say the number under changed assumptions: the extremes, or every one; nothing where there is none."""
    if not rows:
        return ""
    chosen = rows if every else list({id(row): row for row in extremes(rows)}.values())
    return f"Children in all: {', '.join(map(moved, chosen))}."


def _small_studies(plan: dict) -> str:
    """Say whether less certain trials report more, and what the number would be if that were bias."""
    small = plan["evidence"].get("small_study")
    if not small:
        return ""
    way, slope = "rises" if small["slope"] > 0 else "falls", abs(small["slope"])
    return (
        f"Small studies: the reported effect {way} by {slope:.2f} points with each point of standard error (regression "
        f"after Egger 1997 on {small['k']} contrasts: z {small['z']:.2f}, p {small['p']:.2g}), and would be "
        f"{small['limit']:.2f} (SE {small['limit_se']:.2f}) in a trial without error. The number is not corrected for "
        f"that. {_under(_changed(plan, 'bias'), every=True)}"
    )


def _readings(plan: dict) -> Iterator[str]:
    """Say whose figures are doubtful, and the number under their readings; and what else could be read otherwise."""
    suspect, rows = plan["protocol"]["suspect"], _changed(plan, "reading")
    own = [row for row in rows if row["to"].partition(": ")[0] in suspect]
    if suspect:
        yield (
            f"Figures of {', '.join(suspect)} cannot be right as printed, or were not printed; the number averages "
            f"over their readings, {plan['evidence']['combinations']} combinations, with prior weights that are "
            "judgements. "
            f"{_under(own)}"
        )
    if others := [row for row in rows if row not in own]:
        yield f"Evidence that could be read otherwise. {_under(others, every=True)}"


def _mixed(plan: dict) -> Iterator[str]:
    """Say what cells, routes and scales the evidence mixes, and the number under one of them alone."""
    mix = plan["protocol"]["mix"]
    if mix is None:
        return
    cells, routes = (", ".join(f"{k} {name}" for name, k in mix[of].items()) for of in ("cells", "routes"))
    if len(mix["cells"]) > 1 or len(mix["routes"]) > 1:
        under = _under(_changed(plan, "cells", "route"), every=True)
        yield f"The {mix['contrasts']} contrasts mix cells ({cells}) and routes ({routes}). {under}"
    if mix["other_scale"]:
        yield (
            f"{mix['other_scale']} of the {mix['contrasts']} contrasts are on another scale than the GMFM-66 and enter "
            f"through a ratio of scales, r. {_under(_changed(plan, 'r'))}"
        )
