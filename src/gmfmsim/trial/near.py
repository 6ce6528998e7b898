"""The smallest n with enough success, looked for near a guess: few n, many of them from one draw of the children."""

import math
from collections.abc import Callable, Iterable

from gmfmsim.trial.design import Design
from gmfmsim.trial.guess import Guess

REACH = 1.6
"""Parts of the Monte Carlo interval above and below the target that the first look takes in."""

MANY, SEVERAL = 60, 4
"""How many n a look takes, where further n from one draw cost next to nothing, and where each is analysed anew."""

NEAR = 50
"""What is not within the n seen is looked for beyond them, first this part of an n further."""


class Near:
    """A search on a `trial.size.Curve` from a Guess on, many n in one look.

    at: from n to their figures and MCSE, from one draw of the children.
    """

    def __init__(self, curve, at: Callable[[list[int]], list], design: Design, guess: Guess):
        from gmfmsim.trial.generate.ends import suffice  # compiled code: loaded only where it is needed

        self.curve, self.at, self.design, self.guess, self.looks = curve, at, design, guess, 0
        self.many = MANY if suffice(design) else SEVERAL

    def __call__(self, level: float, errors: Iterable[float], most: int) -> list[int | None]:
        """Return for each z the smallest n with figure + z MCSE >= level, or None if there is none up to `most`.

        The first look takes n about the guess, as far as the interval of the guess reaches. Those that follow take n
        within the bracket of every z, the straight line through its ends first, until nothing is between the ends: so
        every n that is returned was seen to reach the level, and the next smaller one not to.
        """
        errors, fewest = list(errors), self.design.fewest
        if most < fewest:
            return [None] * len(errors)
        most = self.design.at_most(most)
        half = REACH * max(*errors, 2.0) * self.guess.mcse(level)
        self.guess.hold(min(self.design.at_least(self.guess.reaches(level, fewest, most)), most))
        low, high = (self.guess.reaches(level + away, fewest, most) for away in (-half, half))
        self._look(self._spread(self.design.at_most(low), min(self.design.at_least(high), most)))
        while sizes := set().union(*(self._open(level, z, most) for z in errors)):
            self._look(sizes)
        return [self._bracket(level, z)[1] for z in errors]

    def _look(self, sizes: set[int]) -> None:
        if new := sorted(sizes - self.curve.seen.keys()):
            self.curve.in_time()
            self.curve.seen |= dict(zip(new, self.at(new), strict=True))
            self.looks += 1

    def _bracket(self, level: float, z: float) -> tuple[int | None, int | None]:
        """Return the largest n seen below the smallest one that reaches the level, and that one."""
        seen = self.curve.seen
        high = min((n for n, (value, mcse) in seen.items() if value + z * mcse >= level), default=None)
        return max((n for n in seen if high is None or n < high), default=None), high

    def _open(self, level: float, z: float, most: int) -> set[int]:
        """Return the n to look at next for one z, none where the smallest n is found."""
        low, high = self._bracket(level, z)
        step, fewest = self.design.step, self.design.fewest
        if high is None:
            end = self._beyond(level, z, low)
            return self._spread(low + step, min(max(end, low + self._rise(low)), most)) if low < most else set()
        if low is None:
            end = self._beyond(level, z, high)
            return self._spread(max(min(end, high - self._rise(high)), fewest), high - step) if high > fewest else set()
        if self.many == MANY or (high - low) // step - 1 <= self.many:
            return self._spread(low + step, high - step) if high - low > step else set()
        return self._few(level, z, low, high)

    def _few(self, level: float, z: float, low: int, high: int) -> set[int]:
        """Return n about where the straight line through both ends meets the level, and the middle."""
        step, (a, b) = self.design.step, (self.curve(n) for n in (low, high))
        units = low // step, high // step
        on = self.curve.on_the_line(*units, a[0] + z * a[1], b[0] + z * b[1], level)
        wanted = {on - 1, on, on + 1, sum(units) // 2}
        return {k * step for k in wanted if units[0] < k < units[1]}

    def _beyond(self, level: float, z: float, n: int) -> int:
        """Return where the guess, held to what was seen at n, has the level."""
        value, mcse = self.curve(n)
        self.guess.held(n, value)
        return self.design.at_least(self.guess.reaches(level - z * mcse, n / 20, 20 * n))

    def _rise(self, n: int) -> int:
        return self.design.step * max(1, n // self.design.step // NEAR) * 2**self.looks

    def _spread(self, low: int, high: int) -> set[int]:
        """Return up to `many` n from low to high, both among them."""
        step = self.design.step
        units = max((high - low) // step, 0)
        count = min(self.many, units + 1)
        return {low + step * math.floor(i * units / max(count - 1, 1) + 0.5) for i in range(count)}
