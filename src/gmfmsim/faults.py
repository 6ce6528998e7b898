"""What a user is told when an input is wrong: what, where, what is allowed."""

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault of one file: where it is, what it is, what would be allowed."""

    file: str
    where: str
    problem: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.problem}\n    allowed: {self.allowed}"


class InputError(Exception):
    """All faults found in a user's files. Carries them as `faults`."""

    def __init__(self, faults: Iterable[Fault]):
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


class GateFailed(Exception):
    """A fit that does not meet the sampling criteria. Carries every measurement as `rows`."""

    def __init__(self, plan: str, rows: list[dict]):
        self.rows = rows
        lines = [f"the posterior of plan {plan!r} failed the sampling gate; nothing was written"]
        lines += [
            f"    {r['criterion']}: {r['measured']:.4g} at {r['worst']}, required {r['required']}"
            for r in rows
            if not r["passed"]
        ]
        lines.append("    what to do: raise [sampler] tune, draws or target_accept, or look at the priors;")
        lines.append("    [sampler] cross_check = false leaves out the check of an exact posterior by sampling")
        super().__init__("\n".join(lines))


class NotANumber(ArithmeticError):
    """A density that is not a number, or nowhere above 0: the computation cannot go on, and says where."""


def has_control_character(text: str) -> bool:
    """Return whether a text holds a control character other than tab and line ends: no page or terminal wants it."""
    return any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in text)


def shown(value: object, limit: int = 60) -> str:
    """Quote a user's value for a message, shortened to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def choices(value: object, allowed: Iterable[object], limit: int = 12) -> str:
    """List what is allowed, the nearest match to `value` first when there is one."""
    allowed = list(allowed)
    names = [str(a) for a in allowed]
    if allowed and all(isinstance(a, int | float) for a in [value, *allowed]):
        near = [str(min(allowed, key=lambda a: abs(a - value)))]
    else:
        near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.6)
    listed = ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
    return f"nearest: {near[0]}; of {listed}" if near else listed or "nothing"
