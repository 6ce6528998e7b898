"""A fit: the engine that can, the other one as its cross-check, and the gate that both must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.files.remembered import key_of, remembered
from gmfmsim.model.complete import data_tree
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import ExactPosterior, Refused, orders, posterior, refusal
from gmfmsim.model.gate import agreement, agreement_rows, exact_rows, failures, gate
from gmfmsim.model.nuts import Sampled, Sampler, sample
from gmfmsim.model.structure import structure
from gmfmsim.streams import stream

CROSS_CHECK_DRAWS = 1000


@dataclass(frozen=True)
class Fit:
    """A fitted model: its DataTree, the gate, the engine, and the exact posterior where there is one.

    drawn: makes the tree, once it is asked for: an exact posterior answers without draws. why_not: the reason why the
    exact engine refused, or None. compared: mean and sd of every parameter by both engines. orders: by non-linear
    parameter, that below which its posterior moments exist. unchecked: why a check of the exact posterior by sampling
    was asked for and says nothing, or None. check_stats: the sampler's statistics (chain, draw) in such a check.
    """

    drawn: Callable[[], xr.DataTree]
    gate: list[dict]
    engine: str
    exact: ExactPosterior | None
    why_not: str | None
    compared: list[dict]
    orders: dict[str, float] = field(default_factory=dict)
    unchecked: str | None = None
    check_stats: xr.Dataset | None = None

    @cached_property
    def tree(self) -> xr.DataTree:
        """The draws of the posterior, with what is drawn given them."""
        return self.drawn()

    @property
    def passed(self) -> bool:
        """Whether every criterion of the gate is met."""
        return all(row["passed"] for row in self.gate)

    @property
    def verdict(self) -> str:
        """What the gate came to, in words."""
        return f"not confirmed by sampling: {self.unchecked}" if self.unchecked else "passed"

    @property
    def stands(self) -> bool:
        """Whether the answer may be used: the sampler alone failed, whose task was to check an exact posterior."""
        return self.passed or (self.unchecked is not None and all(row["passed"] for row in exact_rows(self.exact)))


def fit(spec: ModelSpec, data: xr.Dataset, sampler: Sampler, seed: int, *, progress: bool = False) -> Fit:
    """Fit a declared model to a Dataset(contrast) and measure what the gate asks for.

    Draws of the sampling engine are remembered, by model, contrasts and sampler. Raises Refused if the exact engine is
    asked for and cannot.
    """
    why_not = refusal(spec, data)
    if sampler.engine == "exact" and why_not:
        raise Refused(why_not)
    model = structure(spec, data)
    if sampler.engine == "nuts" or why_not:
        sampled = _sampled(spec, data, sampler, seed, progress)
        tree = data_tree(spec, data, model, sampled.variables, seed, sampled.stats)
        tree["posterior"].attrs |= {"engine": "nuts", "target_accept": sampler.target_accept}
        return Fit(lambda: tree, gate(tree), "nuts", None, why_not, [], orders(model))
    exact = posterior(model)

    def drawn() -> xr.DataTree:
        tree = data_tree(spec, data, model, exact_draws(exact, sampler, seed), seed)
        tree["posterior"].attrs |= {"engine": "exact", "log_marginal": exact.log_marginal}
        return tree

    found = Fit(drawn, exact_rows(exact), "exact", exact, None, [], exact.orders)
    return checked(found, spec, data, sampler, seed, progress=progress) if sampler.cross_check else found


def checked(
    found: Fit, spec: ModelSpec, data: xr.Dataset, sampler: Sampler, seed: int, *, progress: bool = False
) -> Fit:
    """Return an exact fit held to a sampled one, or with the reason why sampling says nothing of it."""
    if improper := [name for name, prior in spec.priors.items() if not prior.proper]:
        return replace(found, unchecked=f"the prior of {', '.join(improper)} is improper and cannot be sampled")
    sampled = _sampled(spec, data, sampler.model_copy(update={"draws": CROSS_CHECK_DRAWS}), seed, progress)
    check = data_tree(spec, data, found.exact.prepared.structure, sampled.variables, seed, sampled.stats)
    compared, rows = agreement(found.exact, check), gate(check)
    failed = None if all(row["passed"] for row in rows) else f"the sampler failed ({failures(rows)})"
    gates = found.gate + rows + agreement_rows(compared)
    return replace(found, gate=gates, compared=compared, unchecked=failed, check_stats=sampled.stats)


def key_of_fit(said: Iterable[str], data: xr.Dataset, packages: Iterable[str] = ()) -> str:
    """Return the name under which is remembered what depends on words, contrasts and the code of models."""
    package = Path(__file__).parents[1]
    return key_of(
        said,
        {str(name): data[name].values for name in data.variables},
        packages=("numpy", "scipy", "numba", *packages),
        code=[path for room in ("compute", "dist", "model") for path in (package / room).rglob("*.py")],
    )


def _sampled(spec: ModelSpec, data: xr.Dataset, how: Sampler, seed: int, progress: bool) -> Sampled:
    """Return `sample`, at once where it has been done before."""
    said = spec.model_dump_json(), how.model_dump_json(exclude={"engine", "cross_check"}), str(seed)
    key = key_of_fit(said, data, packages=("pymc", "pytensor", "nutpie"))

    def computed() -> dict[str, np.ndarray]:
        new = sample(spec, data, how, seed, progress=progress)
        stats = {f"s {name}": new.stats[name].transpose("chain", "draw").values for name in new.stats}
        return {f"v {name}": value for name, value in new.variables.items()} | stats

    found = remembered(key, computed)
    variables, stats = ({name[2:]: value for name, value in found.items() if name[0] == kind} for kind in "vs")
    return Sampled(variables, xr.Dataset({name: (("chain", "draw"), value) for name, value in stats.items()}))


def exact_draws(exact: ExactPosterior, sampler: Sampler, seed: int) -> dict[str, np.ndarray]:
    """Return independent draws of parameters and coefficients from an exact posterior, (chain, draw, ...) by name."""
    shape, model = (sampler.chains, sampler.draws), exact.prepared.structure
    rng = stream(seed, "exact")
    uniform = rng.random((shape[0] * shape[1], len(exact.prepared.names) + 1))
    phi, values = exact.draws(uniform, rng.standard_normal((uniform.shape[0], len(model.coefficients))))
    return {name: value.reshape(*shape, *value.shape[1:]) for name, value in (phi | model.named(values)).items()}
