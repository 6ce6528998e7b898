"""The required n: the smallest number of children per arm that reaches the target, or that none does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from scipy import special

from gmfmsim.compute.labels import xr
from gmfmsim.files.toml import Spec, key
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.trial.design import Design
from gmfmsim.trial.guess import Guess
from gmfmsim.trial.near import Near
from gmfmsim.trial.operate import primary_only
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.sizes import FEWEST_UNITS

SCENARIO = {"assurance": "new_study", "power": "planning_value"}


class Target(Spec):
    """What n must reach: assurance (success in a new study) or power (success at the planning value)."""

    metric: Annotated[Literal["assurance", "power"], key("in a new study, or at the planning value")]
    value: Annotated[float, key("probability of success to reach", "share", example=0.8, gt=0, lt=1)]


class Search(Spec):
    """The target, and how hard to look for it."""

    target: Annotated[Target, key("what n must reach")]
    planning_value: Annotated[
        float, key("gain that power is said for", "unit of the effect", example=1.42, ge=1e-3, le=1e3)
    ]
    planning_value_source: (
        Annotated[
            str,
            key(
                "where it comes from, for the text of a protocol",
                example="as in the last trial",
                min_length=3,
                max_length=400,
            ),
        ]
        | None
    ) = Field(default=None, exclude_if=lambda v: v is None)
    replicates: Annotated[
        int,
        key("simulated trials at each n; of children one by one 10,000", ge=1_000, le=5_000_000),
    ] = 100_000
    max_n_per_arm: Annotated[int, key("where the search ends, in the smaller arm", "children", ge=10, le=1_000_000)] = (
        20_000
    )
    interval_prob: Annotated[float, key("of Monte Carlo intervals", gt=0.5, lt=1)] = 0.95
    max_seconds: (
        Annotated[
            float,
            key(
                "ends a search of simulated trials early, with the n it has bracketed",
                "seconds",
                example=60,
                ge=1,
                le=86_400,
            ),
        ]
        | None
    ) = Field(default=None, exclude_if=lambda v: v is None)

    @property
    def z(self) -> float:
        """The quantile of the normal distribution that the Monte Carlo interval takes."""
        return float(special.ndtri((1 + self.interval_prob) / 2))


@dataclass(frozen=True)
class RequiredN:
    """The answer of a search; by the exact engine without Monte Carlo error, interval and plateau_mcse None.

    n is None where the target was not reached, and `why` says so: "plateau" (it lies below the target), "limit"
    (the search ended at max_n_per_arm), "undecided" (the plateau is within its Monte Carlo error of the target), "time"
    (max_seconds were over). After "time", n reaches the target and may not be the smallest: the interval holds the
    n between it and the largest that was seen not to. Otherwise the interval holds the n at which the curve plus and
    minus its Monte Carlo error meets the target; its upper end is None where the lower curve does not within the limit.
    n_at_95_plateau gives 95 % of the plateau; None too where no time is left for it, or where it is not needed and dear
    to find: the target is reached, and children are drawn one by one.
    """

    n: int | None
    interval: tuple[int, int | None] | None
    why: Literal["reached", "plateau", "limit", "undecided", "time"]
    plateau: float
    plateau_mcse: float | None
    n_at_95_plateau: int | None

    @property
    def status(self) -> str:
        """reached or unreachable."""
        return "unreachable" if self.n is None else "reached"

    @property
    def reference_n(self) -> int | None:
        """The n to report figures at: the required one, else the one that gives 95 % of the plateau."""
        return self.n_at_95_plateau if self.n is None else self.n


NEAR = 100
"""A search about a start first goes this part of it up or down."""


class OutOfTime(Exception):
    """The time budget of a search is spent."""


def probit(share: float) -> float:
    """Return the normal quantile of a share, finite at 0 and 1 too."""
    return float(special.ndtri(min(max(share, 1e-12), 1 - 1e-12)))


class Curve:
    """A figure that rises with n, and its MCSE: every n simulated once, on common random numbers.

    at(n) returns both; in_time() raises OutOfTime where no time is left for another n; straight(figure) is nearly a
    line against sqrt(n): the probit for success. n comes in multiples of `step`, from two on.
    """

    def __init__(
        self,
        at: Callable[[int], tuple[float, float]],
        in_time: Callable[[], None] = lambda: None,
        straight: Callable[[float], float] = probit,
        step: int = 1,
    ):
        self.at, self.in_time, self.straight, self.step = at, in_time, straight, step
        self.seen: dict[int, tuple[float, float]] = {}

    def __call__(self, n: int) -> tuple[float, float]:
        """Return the figure and its MCSE at n. Raises OutOfTime where no time is left for it."""
        if n not in self.seen:
            self.in_time()
            self.seen[n] = self.at(n)
        return self.seen[n]

    def crossing(self, level: float, *, most: int, z: float = 0.0, start: int | None = None) -> int | None:
        """Return the smallest n with figure + z MCSE >= level, or None if there is none up to `most`.

        Bracketed by doubling, or about `start`, in steps that double; then closed by false position on the straightened
        figure against sqrt(n), taking the middle after every step that leaves more than half of the bracket (so at most
        twice as many steps as bisection, mostly four or five).
        """

        def figure(units: int) -> float:
            value, mcse = self(units * self.step)
            return value + z * mcse

        low, high, most, halve = FEWEST_UNITS - 1, FEWEST_UNITS, most // self.step, False
        if most < FEWEST_UNITS:
            return None
        if start is not None:
            high = min(max(start // self.step, FEWEST_UNITS), most)
            away = max(high // NEAR, 1)
            while figure(high) >= level and high > FEWEST_UNITS:  # down to the first that does not have it
                below = max(high - away, FEWEST_UNITS)
                if figure(below) < level:
                    low = below
                    break
                high, away = below, 2 * away
            rise = away
        else:
            rise = 0
        while figure(high) < level:
            if high == most:
                return None
            low, high, rise = high, min(high + rise if rise else 2 * high, most), 2 * rise
        while high - low > 1:
            middle, width = (low + high) // 2, high - low
            if not halve and low >= FEWEST_UNITS:
                middle = self.on_the_line(low, high, figure(low), figure(high), level)
            low, high = (low, middle) if figure(middle) >= level else (middle, high)
            halve = not halve and high - low > width / 2
        return high * self.step

    def crossings(self, level: float, errors: Iterable[float], most: int) -> list[int | None]:
        """Return the crossing for each z of errors; None for all where there is none for the first."""
        first, *others = errors
        n = self.crossing(level, most=most, z=first)
        return [n, *(None if n is None else self.crossing(level, most=most, z=z) for z in others)]

    def on_the_line(self, low: int, high: int, at_low: float, at_high: float, level: float) -> int:
        """Return the units strictly between low and high where the straight line through both ends meets the level."""
        below, above, goal = (self.straight(y) for y in (at_low, at_high, level))
        share = (goal - below) / (above - below) if above > below else 0.5
        root = math.sqrt(low) + share * (math.sqrt(high) - math.sqrt(low))
        return min(max(math.floor(root**2), low + 1), high - 1)


OVER = 1.1
"""Times the seconds of a search until which its last block of trials may last, by those before it."""


class Timed(Steps):
    """Steps of simulated trials, the next of which is not begun where time is short: OutOfTime.

    A step is taken to last as long as the longest so far. While it is waited for another one begins on another core,
    which cannot be stopped: there has to be time for two.
    """

    def __init__(self, seconds: float, seen: Steps):
        super().__init__()
        self.last, self.longest, self.seen = time.monotonic(), 0.0, seen
        self.end = self.last + OVER * seconds

    def __call__(self) -> None:
        """Count a step. Raises OutOfTime where others are to come and time is short."""
        super().__call__()
        self.seen()
        before, self.last = self.last, time.monotonic()
        self.longest = max(self.longest, self.last - before)
        if self.done < self.total:
            self._two_more()

    def expect(self, more: int) -> None:
        """Count steps that are to come, from now on."""
        super().expect(more)
        self.seen.expect(more)
        self.last = time.monotonic()

    def in_time(self) -> None:
        """Raise OutOfTime where time is short."""
        self.last = time.monotonic()
        self._two_more()

    def _two_more(self) -> None:
        if self.last + 2 * self.longest > self.end:
            raise OutOfTime


def required_n(truths: xr.Dataset, trial: Design, search: Search, *, seed: int, advance: Steps = UNSEEN) -> RequiredN:
    """Return the smallest n per arm with success >= target, its Monte Carlo interval, and the plateau.

    Every n looked at is one that the trial can have: whole clusters, where those are randomised. Success is that of the
    primary analysis in the scenario of the target's metric. It takes success to rise with n, which it does wherever
    trials are large enough for false claims of benefit (at most alpha/2) not to matter. The interval repeats the search
    for success +- z x MCSE. Where children are drawn one by one the search stays near a guess, see `trial.near`; and
    where the plateau lies below the target, only 95 % of it is looked for: no n can reach the target.
    """
    truths = truths.sel(scenario=[SCENARIO[search.target.metric]])
    first, engine = primary_only(trial)
    dear, timed = engine == "children", Timed(search.max_seconds or math.inf, advance)

    def at(sizes: list[int]) -> list[tuple[float, float]]:
        found = simulate(truths, first, n=sizes, seed=seed, engine=engine, advance=timed)
        surface = found.isel(scenario=0, analysis=0)
        return list(zip(surface["success"].values.tolist(), surface["success_mcse"].values.tolist(), strict=True))

    limit = simulate(truths, trial, n=[], seed=seed)
    plateau, mcse = limit["plateau"].item(), limit["plateau_mcse"].item()
    curve = Curve(lambda n: at([n])[0], timed.in_time, step=trial.step)
    z, target, most = search.z, search.target.value, search.max_n_per_arm
    hopeless = dear and plateau + z * mcse < target
    try:
        guess = Guess(truths, first, seed, timed) if dear and plateau > 0 else None
        find = Near(curve, at, first, guess) if guess and guess.known else curve.crossings
        n, *interval = (None, None, None) if hopeless else find(target, (0.0, z, -z), most)
        if n is not None:
            why = "reached"
        else:
            why = "undecided" if abs(plateau - target) < z * mcse else "plateau" if plateau <= target else "limit"
    except OutOfTime:
        n = min((k for k, (success, _) in curve.seen.items() if success >= target), default=None)
        short = [k for k, (success, _) in curve.seen.items() if success < target and (n is None or k < n)]
        interval = None if n is None else (max(short, default=trial.fewest - trial.step) + trial.step, n)
        return RequiredN(n, interval, "time", plateau, mcse, None)
    seek = plateau > 0 and (n is None or not dear)
    try:
        nearly = find(0.95 * plateau, (0.0,), most)[0] if seek else None
    except OutOfTime:
        nearly = None
    return RequiredN(n, None if n is None else tuple(interval), why, plateau, mcse, nearly)
