"""The required n: the smallest number of children per arm that reaches the target, or that none does."""

from dataclasses import dataclass
from typing import Annotated, Literal

import xarray as xr
from pydantic import Field
from scipy import special

from gmfmsim.spec import Spec
from gmfmsim.trial.design import Analysis, Parallel
from gmfmsim.trial.simulate import simulate

SMALLEST_N = 2
SCENARIO = {"assurance": "new_study", "power": "planning_value"}


class Target(Spec):
    """What n must reach: assurance (success in a new study) or power (success at the planning value)."""

    metric: Literal["assurance", "power"]
    value: Annotated[float, Field(gt=0, lt=1)]


class Search(Spec):
    """The target, and how hard to look for it."""

    target: Target
    planning_value: Annotated[float, Field(ge=1e-3, le=1e3)]
    replicates: Annotated[int, Field(ge=1_000, le=5_000_000)] = 100_000
    max_n_per_arm: Annotated[int, Field(ge=10, le=1_000_000)] = 20_000
    interval_prob: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


@dataclass(frozen=True)
class RequiredN:
    """The answer of a search.

    n is None where the target was not reached, and `why` says so: "plateau" (it lies below the target), "limit"
    (the search ended at max_n_per_arm), "undecided" (the plateau is within its Monte Carlo error of the target).
    The interval holds the n at which the curve plus and minus its Monte Carlo error meets the target; its upper
    end is None where the lower curve does not within the limit. n_at_95_plateau gives 95 % of the plateau.
    """

    n: int | None
    interval: tuple[int, int | None] | None
    why: Literal["reached", "plateau", "limit", "undecided"]
    plateau: float
    plateau_mcse: float
    n_at_95_plateau: int | None

    @property
    def status(self) -> str:
        """reached or unreachable."""
        return "unreachable" if self.n is None else "reached"

    @property
    def reference_n(self) -> int | None:
        """The n to report figures at: the required one, else the one that gives 95 % of the plateau."""
        return self.n_at_95_plateau if self.n is None else self.n


def required_n(
    truths: xr.Dataset, design: Parallel, analysis: Analysis, search: Search, *, seed: int, advance=lambda: None
) -> RequiredN:
    """Return the smallest n per arm with success >= target, its Monte Carlo interval, and the plateau.

    The crossing is bracketed by doubling and closed by bisection on integers, each n simulated once on common
    random numbers. It takes success to rise with n, which it does wherever trials are large enough for false
    claims of benefit (at most alpha/2) not to matter. The interval repeats it for success +- z x MCSE.
    """
    truths = truths.sel(scenario=[SCENARIO[search.target.metric]])
    seen: dict[int, tuple[float, float]] = {}

    def success(n: int, z: float) -> float:
        if n not in seen:
            surface = simulate(truths, design, analysis, n=[n], seed=seed)
            seen[n] = surface["success"].item(), surface["success_mcse"].item()
            advance()
        return seen[n][0] + z * seen[n][1]

    def crossing(level: float, z: float = 0.0) -> int | None:
        low, high = SMALLEST_N - 1, SMALLEST_N
        while success(high, z) < level:
            if high == search.max_n_per_arm:
                return None
            low, high = high, min(2 * high, search.max_n_per_arm)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if success(middle, z) >= level else (middle, high)
        return high

    limit = simulate(truths, design, analysis, n=[], seed=seed)
    plateau, mcse = limit["plateau"].item(), limit["plateau_mcse"].item()
    z, target = float(special.ndtri((1 + search.interval_prob) / 2)), search.target.value
    n = crossing(target)
    if n is not None:
        why, interval = "reached", (crossing(target, z), crossing(target, -z))
    else:
        why = "undecided" if abs(plateau - target) < z * mcse else "plateau" if plateau <= target else "limit"
        interval = None
    return RequiredN(n, interval, why, plateau, mcse, crossing(0.95 * plateau) if plateau > 0 else None)
