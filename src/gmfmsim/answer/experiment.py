"""An experiment in Python: what it asks as values, each step of the way as a labelled object."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from html import escape

from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.posterior import posterior_of
from gmfmsim.answer.sizing import Sizing, grid_of
from gmfmsim.answer.what_moves import over_assumptions
from gmfmsim.compute.labels import xr
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.model.average import Member
from gmfmsim.progress import Silent
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question


@dataclass(frozen=True, repr=False)
class Experiment:
    """A question that was read and checked, and each step towards its answer.

    Every step takes the label of a plan, by default the first. What was fitted is kept for the steps after it.
    """

    question: Question
    fits: dict[tuple[str, ...], Member] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name, that of its results folder."""
        return self.question.name

    @property
    def key(self) -> str:
        """The hash of everything that determines the result."""
        return self.question.key

    @property
    def labels(self) -> list[str]:
        """The labels of the plans."""
        return [p.plan.label for p in self.question.plans]

    def contrasts(self, plan: str | None = None) -> xr.Dataset:
        """Return the contrasts that the models are fitted to. Raises InputError where a published estimate is taken."""
        data = self._plan(plan).contrasts
        if data is None:
            raise InputError([Fault(self.name, "key evidence", "a published estimate has no contrasts", "select")])
        return data

    def posterior(self, plan: str | None = None) -> xr.DataTree:
        """Return the posterior; of several models a tree with one branch a model, `share` among its attributes."""
        members = self._members(self._plan(plan))
        if len(members) == 1:
            return members[0].tree
        tree = xr.DataTree.from_dict({m.name: m.tree for m in members})
        for m in members:
            tree[m.name].attrs["share"] = m.share
        return tree

    def truths(self, plan: str | None = None) -> xr.Dataset:
        """Return what may be true in the next trial: effect (scenario, draw, arm), sd_change (draw)."""
        return self._sizing(self._plan(plan)).truths

    def surface(self, plan: str | None = None, *, n: Iterable[int] | None = None) -> xr.Dataset:
        """Return success (scenario, n, analysis); n counts children of the smaller arm.

        Exactly where it can be computed so, else with Monte Carlo errors. Without n it is said about the required one.
        """
        sizing = self._sizing(self._plan(plan))
        if n is not None:
            return sizing.surface([int(k) for k in n])
        required = sizing.required()
        return sizing.surface(grid_of(sizing.prepared, required), answer=required.reference_n)

    def size(self, plan: str | None = None) -> xr.Dataset:
        """Return the required number of children: n_total, n_by_arm (arm), their Monte Carlo interval (end), plateau.

        NaN where nothing is simulated, or no number reaches the target; attribute `status` says so, `why` why.
        """
        prepared = self._plan(plan)
        required, trial = self._sizing(prepared).required(), prepared.plan.trial
        arms = [arm.name for arm in trial.arms]
        sizes = trial.sizes(required.n) if required.n else dict.fromkeys(arms, float("nan"))
        ends = [n or float("nan") for n in trial.totals(required.interval) or (None, None)]
        return xr.Dataset(
            {
                "n_total": sum(sizes.values()),
                "n_by_arm": ("arm", [sizes[name] for name in arms]),
                "n_total_interval": ("end", ends),
                "plateau": required.plateau,
                "plateau_mcse": float("nan") if required.plateau_mcse is None else required.plateau_mcse,
            },
            {"arm": arms, "end": ["low", "high"]},
            {"status": required.status, "why": required.why, "interval_prob": prepared.plan.search.interval_prob},
        )

    def sensitivity(
        self, plan: str | None = None, *, structures: Iterable[str], sd: Iterable[float], n: Iterable[int]
    ) -> xr.DataArray:
        """Return assurance (structure, without, sd, n) under shipped models, without each study and at known SDs.

        n counts children of the smaller arm. Raises as `over_assumptions`.
        """
        return over_assumptions(self._sizing(self._plan(plan)), structures, sd, n)

    def _plan(self, label: str | None) -> Prepared:
        plans = self.question.plans
        found = [p for p in plans if label in (None, p.plan.label)]
        if not found:
            problem = f"{shown(label)} is no plan" if plans else f"{self.question.without_plans[1]} has no plan"
            raise InputError([Fault(self.name, "plan", problem, choices(label, self.labels))])
        return found[0]

    def _members(self, prepared: Prepared) -> list[Member]:
        return posterior_of(prepared, self.fits, Silent())

    def _sizing(self, prepared: Prepared) -> Sizing:
        return sizing_of(prepared, partial(self._members, prepared))

    def __repr__(self) -> str:
        return f"<Experiment {self.name}/{self.key}: {self.question.text[:200]} Plans: {', '.join(self.labels)[:200]}>"

    def _repr_html_(self) -> str:
        plans = "".join(f"<li>{escape(p.plan.label)}: {escape(p.source)}</li>" for p in self.question.plans)
        return f"<p><strong>{escape(self.name)}</strong> {escape(self.question.text)}</p><ul>{plans}</ul>"
