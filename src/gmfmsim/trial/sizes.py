"""Which n a trial can have, and how many children that is in each arm."""

import math
from collections.abc import Iterable
from fractions import Fraction

from gmfmsim.files.toml import Spec

FEWEST_UNITS = 2
"""Children, pairs or clusters that an arm needs: one alone does not say how much they differ."""


def allocation(ratio: float) -> tuple[float, float]:
    """Return the ratios of the arm with cells and of control, 1 in the smaller, at `ratio` children with cells for
    each control child."""
    smaller = min(ratio, 1.0)
    return ratio / smaller, 1 / smaller


class Sized(Spec):
    """A trial whose `arms` have ratios, 1 in the smallest: n counts the children there, or pairs.

    Every n that is asked of a trial, searched for, simulated or said is one that it can have: whole units, children
    that come to an arm together, from two an arm on. Blocks and strata split as they come, and leave any n possible.
    """

    @property
    def step(self) -> int:
        """Children of one unit: n comes in multiples of it."""
        return 1

    @property
    def fewest(self) -> int:
        """The smallest n."""
        return FEWEST_UNITS * self.step

    def at_least(self, n: float) -> int:
        """Return the smallest n that is possible from `n` on."""
        return max(math.ceil(n / self.step) * self.step, self.fewest)

    def at_most(self, n: float) -> int:
        """Return the largest n that is possible up to `n`; the smallest of all, where that is larger."""
        return max(math.floor(n / self.step) * self.step, self.fewest)

    def sizes(self, n: int) -> dict[str, int]:
        """Return the children randomised to each arm: of units, n times the ratio of the arm, rounded half up.

        The ratio is taken as the decimal number that it is written as, so that 30 x 1.15 = 34.5 becomes 35.

        Raises ValueError for n that is not whole units.
        """
        units, rest = divmod(n, self.step)
        if rest or units < 1:
            raise ValueError(f"n = {n}: must be a multiple of {self.step}, such as {self.in_words(n)}")
        ratios = {arm.name: Fraction(str(arm.ratio)) for arm in self.arms}
        return {name: math.floor(units * ratio + Fraction(1, 2)) * self.step for name, ratio in ratios.items()}

    def total(self, n: int) -> int:
        """Return how many children are randomised at n, in all arms. Raises ValueError as `sizes`."""
        return sum(self.sizes(n).values())

    def totals(self, ends: Iterable[int | None] | None) -> list[int | None] | None:
        """Return `total` at the ends of an interval of n; None for an end, or an interval, that there is not."""
        return None if ends is None else [n and self.total(n) for n in ends]

    def in_words(self, n: float) -> str:
        """Return the possible n next to one that is not, below and above."""
        return " or ".join(str(k) for k in dict.fromkeys((self.at_most(n), self.at_least(n))))
