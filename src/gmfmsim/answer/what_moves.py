"""What moves n: the required number with one assumption changed at a time, each from an exact refit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gmfmsim.answer.assumptions import AVERAGE, SPIKED, Assumed, averages, cases_of, possible, without_studies
from gmfmsim.answer.sizing import Sizing
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.model.average import probabilities
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import ExactPosterior, Refused, posterior
from gmfmsim.model.reporting_bias import ACCOUNTS, fit_account, over_accounts, without_effect
from gmfmsim.model.structure import structure
from gmfmsim.model.truths import Belief, mixed_belief
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact import Assurance, smallest
from gmfmsim.trial.size import RequiredN


class Found(NamedTuple):
    """The required n of a case, None where none reaches the target, and the plateau."""

    n: int | None
    plateau: float


def what_moves(sizing: Sizing, required: RequiredN, advance: Steps = UNSEEN) -> list[dict]:
    """Return the required n under each changed assumption, those that move it most first.

    One row an assumption: changed, to, words; status (reached, unreachable), n, plateau. Models are fitted again by
    quadrature where evidence, prior or structure change, with few nodes: their n are right to about 1 %. Empty where n
    is simulated.
    """
    if not sizing.exact:
        return []
    prepared = sizing.prepared
    base = Assumed("structure", "", "", prepared.models, prepared.contrasts, prepared.plan.trial)
    cases = [case for case in cases_of(prepared, base) if possible(case, prepared)]
    advance.expect(len(cases))
    rows, refits, found = [], Refits(sizing, not all(_of_trial(case, prepared) for case in cases)), []
    for answer in in_order(lambda case: _required(sizing, refits, case), list(cases)):
        found.append(answer)
        advance()
    if biased := [case for case in cases if case.account in refits.accounts]:
        for to, words in averages(prepared.plan.sensitivity.no_effect):
            cases.append(replace(biased[0], to=to, words=words, account=to))
            found.append(_required(sizing, refits, cases[-1]))
    for case, answer in zip(cases, found, strict=True):
        if answer is None:
            continue
        status = "unreachable" if answer.n is None else "reached"
        rows.append({"changed": case.changed, "to": case.to, "words": case.words, "status": status} | answer._asdict())
    return sorted(rows, key=lambda row: -_moved(row, required))


def over_assumptions(sizing: Sizing, structures: Iterable[str], sd: Iterable[float], n: Iterable[int]) -> xr.DataArray:
    """Return assurance (structure, without, sd, n): models alone, without each study, SD of change known, at n.

    structures: names of shipped models; without: "" for all studies, or those that leave together; sd as the design
    declares it. Refits take few nodes. Raises InputError for an unknown model, Refused where one cannot be integrated,
    ValueError where n is simulated.
    """
    prepared, refits = sizing.prepared, Refits(sizing)
    if not sizing.exact or prepared.contrasts is None:
        raise ValueError("no exact assurance: the trial or a model is simulated, or there are no contrasts")
    models = {name: read_model(ModelChoice(name=name)) for name in structures}
    base = Assumed("structure", "", "", prepared.models, prepared.contrasts, prepared.plan.trial)
    left = {"": prepared.contrasts} | {case.to: case.data for case in without_studies(prepared, base)}
    sds, sizes = [float(x) for x in sd], [int(k) for k in n]

    def cells(pair: tuple[ModelSpec, xr.Dataset]) -> list[list[float]]:
        belief = refits.belief({"": pair[0]}, pair[1])
        found = Assurance(base.trial, base.trial.analyses[0], belief)
        return [[found.at_sd(k, x) for k in sizes] for x in sds]

    pairs = [(spec, data) for spec in models.values() for data in left.values()]
    values = np.array(list(in_order(cells, pairs))).reshape(len(models), len(left), len(sds), len(sizes))
    coords = {"structure": list(models), "without": list(left), "sd": sds, "n": sizes}
    return xr.DataArray(values, coords, tuple(coords), name="assurance")


def in_children(rows: list[dict], trial: Design) -> list[dict]:
    """Return the rows with children in all and by arm in the place of n."""
    return [
        {k: v for k, v in row.items() if k not in ("n", "plateau")}
        | {
            "n_total": row["n"] and trial.total(row["n"]),
            "n_by_arm": row["n"] and trial.sizes(row["n"]),
            "plateau": row["plateau"],
        }
        for row in rows
    ]


def over_assumed(n: int | None, moved: Iterable[int | None]) -> dict[str, Any] | None:
    """Return between what children in all an answer lies, its own among them, over changed assumptions: low, high, and
    none, whether any has no number. None where nothing is changed; low and high None where none has a number."""
    others = list(moved)
    reached = [children for children in (n, *others) if children is not None]
    if not others:
        return None
    none = len(reached) <= len(others)
    return {"low": min(reached, default=None), "high": max(reached, default=None), "none": none}


def _moved(row: dict, required: RequiredN) -> float:
    """Return how far a row is from the answer: the logarithm of n, or by the plateau where either has no n."""
    if row["n"] is None or required.n is None:
        apart = (row["n"] is None) != (required.n is None)
        return 1e3 * apart + abs(row["plateau"] - required.plateau)
    return abs(math.log(row["n"] / required.n))


class Refits:
    """Models fitted to evidence, each once: quickly, except those of the answer, which are at hand.

    wanted: whether any model is asked for at all.
    """

    def __init__(self, sizing: Sizing, wanted: bool = True):
        self.choice = sizing.prepared.plan.model
        self.found: dict[tuple[str, int], tuple[float, Belief]] = {}
        self.accounts: dict[str, tuple[float, Belief]] = {}
        self.of = sizing
        data = id(sizing.prepared.contrasts)
        for m, belief in zip(sizing.members, sizing.by_model(), strict=True) if self.choice and wanted else ():
            self.found[m.spec.model_dump_json(), data] = m.mixture.log_marginal, belief

    def belief(self, models: Mapping[str, ModelSpec], data: xr.Dataset) -> Belief:
        """Return the effect in a new study, models in their shares; those of stacking stay those of the answer."""
        fitted = [self._fitted(spec, data) for spec in models.values()]
        if len(fitted) == 1:
            return fitted[0][1]
        if self.choice.weights == "stacking":
            share = [m.share for m in self.of.members]
        else:
            share = probabilities([log_p for log_p, _ in fitted], [self.choice.prior_weight(name) for name in models])
        return mixed_belief([b for _, b in fitted], share)

    def biased(self, spec: ModelSpec, data: xr.Dataset, account: str) -> Belief:
        """Return the effect in a new study, free of bias, by a model under an account of bias."""
        self.accounts[account] = self._under(spec, data, account)
        return self.accounts[account][1]

    def over_accounts(self, spec: ModelSpec, data: xr.Dataset, no_effect: float | None) -> Belief:
        """Return the effect over no bias and all accounts that were fitted, by posterior model probability.

        no_effect: the probability, before the data, that the mean of studies is 0.
        """
        names, without = [name for name in ACCOUNTS if name in self.accounts], []
        if no_effect is not None:
            without = list(in_order(lambda name: self._under(without_effect(spec), data, name), ["none", *names]))
        return over_accounts(
            [self._fitted(spec, data), *(self.accounts[name] for name in names)], without, no_effect or 0.0
        )

    def _under(self, spec: ModelSpec, data: xr.Dataset, account: str) -> tuple[float, Belief]:
        fit = fit_account(spec, data, ACCOUNTS[account])
        return fit.log_marginal, self.of.believed(fit, spec.shape)

    def _fitted(self, spec: ModelSpec, data: xr.Dataset) -> tuple[float, Belief]:
        key = spec.model_dump_json(), id(data)
        if key not in self.found:
            exact = posterior(structure(spec, data), quick=True, near=self._like(spec))
            self.found[key] = exact.log_marginal, self.of.believed(exact, spec.shape)
        return self.found[key]

    def _like(self, spec: ModelSpec) -> ExactPosterior | None:
        """Return the fit of the answer that differs by priors or evidence alone, if there is one."""
        own = {"title": spec.title, "priors": spec.priors}
        return next((m.mixture for m in self.of.members if m.spec.model_copy(update=own) == spec), None)


def _required(sizing: Sizing, refits: Refits, case: Assumed) -> Found | None:
    """Return the required n of a case; None where the exact engine cannot fit it."""
    try:
        belief = _belief(sizing, refits, case)
    except Refused:
        return None
    assurance = Assurance(case.trial, case.trial.analyses[0], belief)
    return Found(smallest(assurance, sizing.prepared.plan.search.target.value), assurance.plateau())


def _of_trial(case: Assumed, prepared: Prepared) -> bool:
    """Return whether a case changes the trial alone: evidence and models are those of the plan, or it has none."""
    own = case.data is prepared.contrasts and case.models is prepared.models
    return case.data is None or (own and case.taken is None and case.account is None)


def _belief(sizing: Sizing, refits: Refits, case: Assumed) -> Belief:
    """Return what the effect may be under a case. Raises Refused where the exact engine cannot fit it."""
    search = sizing.prepared.plan.search
    if search.target.metric == "power":
        return sizing.belief("planning_value")
    if _of_trial(case, sizing.prepared):
        return sizing.belief()
    if case.account in (AVERAGE, SPIKED):
        no_effect = sizing.prepared.plan.sensitivity.no_effect if case.account == SPIKED else None
        return refits.over_accounts(*case.models.values(), case.data, no_effect)
    if case.account is not None:
        return refits.biased(*case.models.values(), case.data, case.account)
    if case.taken is not None:
        return sizing.given(case.taken).belief()
    return refits.belief(case.models, case.data)
