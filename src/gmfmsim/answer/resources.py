"""What a plan takes of money and time: at its n, over n, for a budget, and which of several plans is the cheapest."""

from collections.abc import Iterator
from typing import Any

from gmfmsim.answer.sizing import Sizing
from gmfmsim.compute.text import money, percent
from gmfmsim.evidence.prices import price_scenarios
from gmfmsim.question.plan import Plan
from gmfmsim.trial.cost import PAID_FOR, affordable, bill, total
from gmfmsim.trial.recruitment import PROBABILITY, duration, follow_up, recruiting, screened
from gmfmsim.trial.size import SCENARIO


def resources(sizing: Sizing, n: int | None, over: list[int] | None = None) -> dict[str, Any]:
    """Return cost and duration at n, each where the plan has such a section, and both in words.

    Null where there is no n. over: n for which each is said besides. Of a budget the largest n that it pays, with power
    and assurance there.
    """
    plan, found = sizing.prepared.plan, {}
    if plan.cost:
        found["cost"] = _cost(plan, n)
        if over is not None:
            found["cost"]["over_n"] = [{"n_total": plan.trial.total(k), **_total(plan, k)} for k in over]
        if plan.cost.budget:
            found["cost"]["budget"] = _within_budget(sizing)
    if plan.recruitment:
        found["duration"] = _duration(plan, n)
        if over is not None:
            found["duration"]["over_n"] = [_of_n(plan, k) for k in over]
    return found | ({"resources_in_words": _in_words(found)} if found else {})


def _total(plan: Plan, n: int) -> dict[str, float]:
    return total(bill(plan.trial, n, plan.cost, plan.recruitment)).model_dump()


def _cost(plan: Plan, n: int | None) -> dict[str, Any]:
    """Return what n costs: the total, from low to high ends, item by item, and where the amounts come from."""
    cost, items = plan.cost, [] if n is None else bill(plan.trial, n, plan.cost, plan.recruitment)
    price = price_scenarios().get(cost.scenario or "")
    return {
        "currency": cost.currency,
        "total": None if n is None else total(items).model_dump(),
        "items": [
            {"item": i.name, "paid_for": PAID_FOR[i.name], "count": i.count, "each": i.each.model_dump()}
            | {"total": i.whole.model_dump()}
            for i in items
        ],
        "scenario": price and {k: price[k] for k in ("scenario", "kind", "amount", "source_url", "source_location")},
        "source": cost.source,
        "note": cost.note,
    }


def _within_budget(sizing: Sizing) -> dict[str, Any]:
    """Return the largest n that the budget pays, at most that of the search, what it costs and what it shows."""
    plan = sizing.prepared.plan
    n = affordable(plan.trial, plan.cost, plan.recruitment, plan.search.max_n_per_arm)
    found: dict[str, Any] = {"amount": plan.cost.budget, "n_total": None, "n_by_arm": None, "total": None}
    if n is None:
        return found | {f"{name}{mcse}": None for name in SCENARIO for mcse in ("", "_mcse")}
    found |= {"n_total": plan.trial.total(n), "n_by_arm": plan.trial.sizes(n), "total": _total(plan, n)}
    for name, scenario in SCENARIO.items():
        found |= dict(zip((name, f"{name}_mcse"), sizing.success(scenario, n), strict=True))
    return found


def _duration(plan: Plan, n: int | None) -> dict[str, Any]:
    """Return how long n takes, to the last child and to the last visit, and how many are screened."""
    trial, recruitment = plan.trial, plan.recruitment
    found = dict.fromkeys(("months", "recruiting", "screened"))
    if n is not None:
        sure = {"probability": PROBABILITY}
        found["months"] = duration(trial, n, recruitment)._asdict() | sure
        found["recruiting"] = recruiting(trial, n, recruitment)._asdict() | sure
        found["screened"] = screened(trial, n, recruitment.screening_failures)
    return found | {
        "follow_up": follow_up(trial),
        "centres": recruitment.centres,
        "rate": recruitment.rate.model_dump(),
        "source": recruitment.source,
        "note": recruitment.note,
    }


def _of_n(plan: Plan, n: int) -> dict[str, Any]:
    trial, recruitment = plan.trial, plan.recruitment
    children = {"n_total": trial.total(n), "screened": screened(trial, n, recruitment.screening_failures)}
    return children | duration(trial, n, recruitment)._asdict()


def _in_words(found: dict[str, Any]) -> list[str]:
    """Say cost and duration in a line, and in another what a budget pays."""
    cost, time = found.get("cost"), found.get("duration")
    known = [_money(cost)] if cost and cost["total"] else []
    known += [_months(time["months"])] if time and time["months"] else []
    said = "; ".join(known) or f"no {' and no '.join(found)}: no number of children is known to reach the target"
    lines = [said[0].upper() + said[1:] + "."]
    if budget := cost and cost.get("budget"):
        lines.append(_budget(budget, cost["currency"]))
    return lines


def _money(cost: dict[str, Any]) -> str:
    price = cost["scenario"]
    of = f" ({PAID_FOR[price['amount']]} at the {price['kind']}: {price['source_location']})" if price else ""
    return money(cost["total"]["low"], cost["total"]["high"], cost["currency"]) + of


def _months(months: dict[str, float]) -> str:
    median, low, high = (f"{months[name]:,.0f}" for name in ("median", "low", "high"))
    return f"{median} months ({low} to {high} in {percent(months['probability'])}) to the last visit"


def _budget(budget: dict[str, Any], currency: str) -> str:
    paid = money(budget["amount"], budget["amount"], currency).removeprefix("about ")
    if budget["n_total"] is None:
        return f"{paid} pay no trial."
    arms = ", ".join(f"{n} {arm}" for arm, n in budget["n_by_arm"].items())
    shown = ", ".join(f"{percent(budget[name])} {name}" for name in SCENARIO)
    ends = "" if budget["total"]["low"] == budget["total"]["high"] else " at the high ends of the amounts"
    return f"{paid} pay {budget['n_total']} children ({arms}){ends}: {shown}."


def compared(found: dict[str, Any]) -> dict[str, Any]:
    """Return, of several plans with costs, which reaches its target at the least cost, and which has most success for
    the budget: the metric of the first plan's target. Nothing for fewer than two.

    found: figures of the first plan, the others' under `alternatives`. By the high ends of amounts; null where
    currencies or budgets differ, or no plan has an n. Of each false_claims, where the prior of its analysis makes more
    than its level, null else; cheapest_at_level: of those that do not.
    """
    plans = [row for row in (found, *found.get("alternatives", ())) if "cost" in row]
    if len(plans) < 2:
        return {}
    one_currency = len({row["cost"]["currency"] for row in plans}) == 1
    reached = [row for row in plans if row["cost"]["total"]] if one_currency else []
    cheapest = min(reached, key=lambda row: row["cost"]["total"]["high"], default=None)
    at_level = [row for row in reached if _beyond_level(row) is None]
    cheapest_at_level = min(at_level, key=lambda row: row["cost"]["total"]["high"], default=None)
    budgets = [row["cost"].get("budget") for row in plans]
    metric = found["target"]["metric"]
    one_budget = one_currency and None not in budgets and len({budget["amount"] for budget in budgets}) == 1
    paid = [row for row in plans if row["cost"]["budget"]["n_total"]] if one_budget else []
    best = max(paid, key=lambda row: row["cost"]["budget"][metric], default=None)
    return {
        "compared": {
            "currency": plans[0]["cost"]["currency"] if one_currency else None,
            "cheapest": cheapest and _paid(cheapest),
            "cheapest_at_level": cheapest_at_level and _paid(cheapest_at_level),
            "best_for_budget": best
            and {
                "label": best["label"],
                "metric": metric,
                metric: best["cost"]["budget"][metric],
                "false_claims": _beyond_level(best),
            },
        }
    }


def _beyond_level(row: dict[str, Any]) -> float | None:
    """Return how often a plan claims what is not there, where the prior of its analysis makes that more than its level;
    None where it does not."""
    claims = (row.get("prior") or {}).get("false_claims")
    return claims["with"] if claims and claims["with"] > claims["nominal"] else None


def _paid(row: dict[str, Any]) -> dict[str, Any]:
    return {"label": row["label"], "total": row["cost"]["total"], "false_claims": _beyond_level(row)}


def _errs(plan: dict[str, Any]) -> str:
    """Say that a plan makes more false claims than its level, where it does."""
    rate = plan.get("false_claims")
    return "" if rate is None else f", whose prior claims a gain in {percent(rate)} of trials without any effect"


def compared_in_words(found: dict[str, Any]) -> Iterator[str]:
    """Yield `compared` as lines."""
    if (rows := found.get("compared")) is None:
        return
    if rows["currency"] is None:
        yield "Costs in several currencies are not compared."
    if cheapest := rows["cheapest"]:
        paid = money(cheapest["total"]["low"], cheapest["total"]["high"], rows["currency"])
        yield f"The cheapest plan that reaches its target: {cheapest['label']}, {paid}{_errs(cheapest)}."
        if (other := rows.get("cheapest_at_level")) and other["label"] != cheapest["label"]:
            paid = money(other["total"]["low"], other["total"]["high"], rows["currency"])
            yield f"The cheapest that makes no more false claims than its level: {other['label']}, {paid}."
    if best := rows["best_for_budget"]:
        yield f"Most {best['metric']} for the budget: {best['label']}, {percent(best[best['metric']])}{_errs(best)}."


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield cost and duration of every plan of a result, and their comparison, as lines."""
    plans = (found, *found.get("alternatives", ()))
    for row in plans:
        of = f"{row['label']}: " if len(plans) > 1 else ""
        yield from (f"{of}{line}" for line in row.get("resources_in_words", ()))
    yield from compared_in_words(found)
