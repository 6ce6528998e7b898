"""What a user is told when an input is wrong: what, where, what is allowed."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import accumulate, islice
from typing import Any

MOST_TOLD = 20
"""Faults that are told one by one; what comes after them is counted."""

MOST_SOUGHT = 200
"""Faults after which the parts of a file that follow are not looked at."""

MOST_TEXT = 8_000
"""Characters of all faults that are told one by one, the first apart."""

LONGEST = {"file": 300, "where": 300, "problem": 1_000, "allowed": 1_000}
"""Characters of each part of a fault; a problem may list contrasts, and what is allowed its choices."""


@dataclass(frozen=True)
class Fault:
    """One fault of one file: where it is, what it is, what would be allowed.

    Whatever a user's names and values bring into it: each part is cut in its middle to its LONGEST, and what cannot be
    printed is escaped.
    """

    file: str
    where: str
    problem: str
    allowed: str

    def __post_init__(self) -> None:
        for part in fields(self):
            text = getattr(self, part.name)
            object.__setattr__(self, part.name, _printable(shortened(text, LONGEST[part.name])))

    def __str__(self) -> str:
        return f"{self.file}: {self.where}: {self.problem}\n    allowed: {self.allowed}"

    def inside(self, place: str, *outer: str) -> "Fault":
        """Return the fault of a part of a file as one of the file: its key stands in `place`, a dotted key.

        outer: keys that stand for the part itself, as does whatever is no key.
        """
        key = self.where.removeprefix("key ")
        whole = key == self.where or key in outer
        return replace(self, where=f"key {place}" if whole else f"key {place}.{key}")


class InputError(Exception):
    """All faults found in a user's files. Carries them as `faults`; its text tells the first and counts the rest."""

    def __init__(self, faults: Iterable[Fault]):
        self.faults = tuple(faults)
        left = f"and {self.left} more" if self.left else None
        super().__init__("\n".join(filter(None, (*map(str, self.told), left))))

    @property
    def told(self) -> tuple[Fault, ...]:
        """The faults that are told one by one: up to MOST_TOLD of them and MOST_TEXT characters."""
        sizes = islice(accumulate(len(str(fault)) for fault in self.faults), MOST_TOLD)
        return self.faults[: max(1, sum(size <= MOST_TEXT for size in sizes))]

    @property
    def left(self) -> int:
        """How many more there are."""
        return len(self.faults) - len(self.told)


class GateFailed(Exception):
    """A fit that does not meet the sampling criteria. Carries every measurement as `rows`."""

    def __init__(self, plan: str, rows: list[dict[str, Any]]):
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


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""The characters of Unicode's category Cc other than tab and line ends."""


def has_control_character(text: str) -> bool:
    """Return whether a text holds a control character other than tab and line ends: no page or terminal wants it."""
    return _CONTROL.search(text) is not None


def _printable(text: str) -> str:
    """Return a text with what no terminal can print, or what would steer it, escaped."""
    return "".join(c if c.isprintable() or c in "\t\n" else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters: a longer one keeps its beginning and its end."""
    if len(text) <= most:
        return text
    end = (most - 3) // 3
    return f"{text[: most - 3 - end]}...{text[-end:]}"


def shown(value: object, limit: int = 60) -> str:
    """Quote a user's value for a message, shortened to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


LONGEST_NAME = 100
"""Characters of a user's text that is held against what is allowed."""


def choices(value: object, allowed: Iterable[object], limit: int = 12) -> str:
    """List what is allowed, the nearest match to `value` first when there is one."""
    allowed = list(allowed)
    names = [str(a) for a in allowed]
    numbers = [a for a in allowed if isinstance(a, int | float)]
    if numbers and len(numbers) == len(names) and isinstance(value, int | float):
        near = [str(min(numbers, key=lambda a: abs(a - value)))]
    else:
        near = difflib.get_close_matches(str(value)[:LONGEST_NAME], names, n=1, cutoff=0.6)
    listed = ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
    return f"nearest: {near[0]}; of {listed}" if near else listed or "nothing"
