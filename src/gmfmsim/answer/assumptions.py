"""What a required n rests on, and each assumption changed: the cases of what moves n."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from gmfmsim.answer.readings import rivals
from gmfmsim.compute.labels import xr
from gmfmsim.compute.text import percent
from gmfmsim.dist.distributions import Fixed
from gmfmsim.evidence.children_sd import children_sd
from gmfmsim.evidence.contrasts import at_last_month
from gmfmsim.evidence.covariates import CLASS_WORDS
from gmfmsim.evidence.individual_data import IndividualData
from gmfmsim.evidence.readings import READING_WORDS
from gmfmsim.evidence.scales import paired_samples
from gmfmsim.evidence.spread import spread_field
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.model.checks.left_out import blocks, some_contrasts
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import not_gaussian, refusal
from gmfmsim.model.priors import rescaled
from gmfmsim.model.ratio import scale_ratio
from gmfmsim.model.reporting_bias import ACCOUNTS
from gmfmsim.model.setting import setting_faults
from gmfmsim.model.structure import structure
from gmfmsim.model.terms import covariate
from gmfmsim.question.evidence import contrasts_of, with_more
from gmfmsim.question.plan import Prepared, silent_faults
from gmfmsim.question.sensitivity import Changed
from gmfmsim.trial.design import Design

ENDS = {"2.5 %": 0.025, "97.5 %": 0.975}
"""Quantiles at which a figure is held whose distribution a plan declares."""

BIAS_WORDS = {
    "pet": "bias in proportion to the standard error (PET)",
    "peese": "bias in proportion to its square (PEESE)",
    "selection": "results selected by their p value",
}
AVERAGE, SPIKED = "average", "average or no effect"
"""All accounts of bias and none, by posterior model probability; and with a mean of studies that may be 0."""

OF_THRESHOLDS = ("step", "threshold")
"""Models that are no case of other plans: `dose_regimen` asks for a threshold, in an average with other curves."""

FACTORS = {"halved": 0.5, "doubled": 2.0}


@dataclass(frozen=True)
class Assumed:
    """All that a required n rests on, one part of it `changed` `to` something else: models, contrasts, trial.

    words: the change as a reader is told it. taken: of the combinations of readings, those that a case averages over.
    account: of `model.reporting_bias`, under which the one model is fitted.
    """

    changed: Changed
    to: str
    words: str
    models: Mapping[str, ModelSpec]
    data: xr.Dataset | None
    trial: Design
    taken: np.ndarray | None = None
    account: str | None = None


def possible(case: Assumed, prepared: Prepared) -> bool:
    """Return whether a plan may have the models of a case on its contrasts, and the exact engine fits them."""
    if case.data is None:
        return True
    trial = prepared.plan.trial
    return case.data.sizes["contrast"] > 0 and all(
        not silent_faults(spec, case.data, "")
        and not setting_faults(spec, case.data, trial.setting, trial.month, "")
        and not_gaussian(spec, case.data) is None
        and (all(prior.proper for prior in spec.priors.values()) or refusal(spec, case.data) is None)
        for spec in case.models.values()
    )


def cases_of(prepared: Prepared, base: Assumed) -> Iterator[Assumed]:
    """Yield the cases of a plan, of the kinds that it asks for."""
    parts: list[tuple[set[Changed], Iterator[Assumed]]] = []
    if prepared.contrasts is not None and prepared.plan.search.target.metric == "assurance":
        last = replace(base, data=_last_months(base.data))
        parts = [
            ({"bias"}, _biases(last)),
            ({"structure", "bias"}, _structures(prepared, base, last)),
            ({"without study"}, without_studies(prepared, base)),
            ({"missing"}, _missing(prepared, base)),
            ({"cells", "route", "month"}, _parts(base, last)),
            ({"r"}, _ratios(base)),
            ({"prior"}, _priors(base)),
            ({"reading"}, _readings(base)),
            ({"reading"}, _unprinted_sds(prepared, base)),
            ({"reading"}, _individual_data(prepared, base)),
        ]
    parts.append(({"sd", "dropout"}, _trials(prepared, base)))
    asked = set(prepared.plan.sensitivity.changed)
    for kinds, cases in parts:
        if kinds & asked:  # what nobody asks for is not made: evidence would be read for it
            yield from (case for case in cases if case.changed in asked)


def without_studies(prepared: Prepared, base: Assumed) -> Iterator[Assumed]:
    """Yield the plan without each study; studies that share control children leave together."""
    first = next(iter(base.models.values()))
    for study, inside in zip(*blocks(structure(first, base.data), base.data), strict=True):
        if not inside.all():
            yield replace(
                base,
                changed="without study",
                to=study,
                words=f"without {study}",
                data=some_contrasts(base.data, ~inside),
            )


def _missing(prepared: Prepared, base: Assumed) -> Iterator[Assumed]:
    """Yield the evidence with each supposed result of a trial that reported none."""
    for one in prepared.plan.sensitivity.supposed:
        words = f"if {one.study}, {one.n_active + one.n_control} children, had found {one.effect:g} points"
        data = contrasts_of(with_more(prepared.plan.evidence, one), prepared.tables)
        yield replace(base, changed="missing", to=f"{one.study}: {one.effect:g}", words=words, data=data)


def _last_months(data: xr.Dataset) -> xr.Dataset:
    """Return the contrasts at the last month of each arm; the same where no arm has several."""
    last = at_last_month(data)
    return data if last.all() else some_contrasts(data, last)


def _structures(prepared: Prepared, base: Assumed, last: Assumed) -> Iterator[Assumed]:
    """Yield each shipped model but `OF_THRESHOLDS` alone, and each averaged over; the plan's own is no change.

    A model that knows no month has the last one of each arm. Priors that the plan changes stay changed where a shipped
    model has the parameter, in the same unit.
    """
    shipped = {name: read_model(ModelChoice(name=name)) for name in names("models") if name not in OF_THRESHOLDS}
    for name, prior in prepared.plan.model.priors.items():
        unit = next(spec.unit(name) for spec in base.models.values() if name in spec.parameters)
        shipped |= {
            key: spec.model_copy(update={"priors": spec.priors | {name: prior}})
            for key, spec in shipped.items()
            if name in spec.parameters and spec.unit(name) == unit
        }
    alone = base.models | {name: spec for name, spec in shipped.items() if name not in base.models}
    for name, spec in alone.items():
        if name not in BIAS_WORDS and (len(base.models) > 1 or name not in base.models):
            changed = "bias" if name == "small_study" else "structure"
            words, of = f"model: {spec.title[0].lower()}{spec.title[1:]}", base
            if last.data is not base.data and not {"months", "course"} & set(spec.terms):
                words, of = f"{words}; at the last month of each arm", last
            yield replace(of, changed=changed, to=name, words=words, models={name: spec})


def _parts(base: Assumed, last: Assumed) -> Iterator[Assumed]:
    """Yield the evidence of one kind of cells, one route, one month alone; of two studies at least, and of months that
    are the last of an arm."""
    data = base.data
    of = {"cells": "cell_class", "route": "route", "month": "month"}
    for changed, name in of.items():
        values, ends = covariate(data, name), covariate(last.data, name)
        for value in sorted(set(ends[ends != ""].tolist())):
            kept = values == value
            to = f"{value:g}" if changed == "month" else str(value)
            if not kept.all() and len(set(data["study"].values[kept].tolist())) > 1:
                said = {
                    "cells": CLASS_WORDS.get(to, to),
                    "route": "by vein or artery" if to == "intravenous" else "other routes",
                    "month": f"month {to}",
                }[changed]
                words = f"{said} only"
                yield replace(base, changed=changed, to=to, words=words, data=some_contrasts(data, kept))


def _biases(base: Assumed) -> Iterator[Assumed]:
    """Yield the one-mean model under each account of small-study and reporting bias; none of it in the next trial."""
    plain = {"random_effects": base.models.get("random_effects") or read_model(ModelChoice(name="random_effects"))}
    for name in ACCOUNTS:
        if name in BIAS_WORDS:
            words = f"one mean, {BIAS_WORDS[name]}"
            yield replace(base, changed="bias", to=name, words=words, models=plain, account=name)


def averages(no_effect: float | None) -> Iterator[tuple[str, str]]:
    """Yield the averages over accounts of bias: what each is called, and in words."""
    words = "one mean, averaged over accounts of bias and none"
    yield AVERAGE, words
    if no_effect is not None:
        yield SPIKED, f"{words}, or no effect at all ({percent(no_effect)} before the data)"


def _with_errors_times(data: xr.Dataset, factor: xr.DataArray) -> xr.Dataset:
    """Return contrasts with standard errors times factor (contrast) or (reading, contrast), and their covariance."""
    covariance = data["covariance"] * factor * factor.rename(contrast="contrast_")
    return data.assign(se=data["se"] * factor, covariance=covariance)


def _ratios(base: Assumed) -> Iterator[Assumed]:
    """Yield r held at the ends of its prior interval, and of what all paired samples predict for a further trial.

    Effects on other scales then are GMFM-66 points.
    """
    data, gmfm66 = base.data, base.data["gmfm66"].values
    if gmfm66.all():
        return
    prior, further = next(iter(base.models.values())).priors["r"], scale_ratio(paired_samples())
    ends = {f"{end} of its prior": float(prior.ppf(np.array(p))) for end, p in ENDS.items()}
    ends |= {f"{end} of what paired samples predict": further.quantile(p) for end, p in ENDS.items()}
    for end, ratio in ends.items():
        factor = xr.DataArray(np.where(gmfm66, 1.0, ratio), dims="contrast")
        scaled = _with_errors_times(data, factor).assign(
            effect=data["effect"] * factor, gmfm66=("contrast", np.ones(gmfm66.size, bool))
        )
        words = f"r = {ratio:.2f} ({end})"
        yield replace(base, changed="r", to=f"{ratio:.3g}", words=words, data=scaled)


def _priors(base: Assumed) -> Iterator[Assumed]:
    """Yield the scale of each prior halved and doubled, in every model that has it; of r where contrasts need it."""
    seen = {(name, str(prior)): prior for spec in base.models.values() for name, prior in spec.priors.items()}
    if base.data["gmfm66"].values.all():
        seen = {(name, said): prior for (name, said), prior in seen.items() if name != "r"}
    for (name, said), prior in seen.items():
        for how, factor in FACTORS.items():
            other = rescaled(prior, factor)
            if other is None:
                continue
            models = {
                key: spec.model_copy(update={"priors": spec.priors | {name: other}})
                if str(spec.priors.get(name)) == said
                else spec
                for key, spec in base.models.items()
            }
            words = f"prior {name} ~ {other}, {how}"
            yield replace(base, changed="prior", to=f"{name} ~ {other}", words=words, models=models)


def _readings(base: Assumed) -> Iterator[Assumed]:
    """Yield each reading of a suspect figure taken for sure, the others averaged over."""
    for study, reading, taken in rivals(base.data):
        words = f"{study} read: {READING_WORDS.get(reading, reading)}"
        yield replace(base, changed="reading", to=f"{study}: {reading}", words=words, taken=taken)


def _unprinted_sds(prepared: Prepared, base: Assumed) -> Iterator[Assumed]:
    """Yield the evidence with SDs that no trial prints as the model of the SD of children has them, not the field."""
    data, tables = base.data, prepared.tables
    imputed = np.zeros(data["se"].shape, bool)
    factor, log_sd = np.ones(imputed.shape[1]), np.zeros(imputed.shape[1])
    for c, study in enumerate(data["study"].values.tolist()):
        if study in data["suspect"].values:
            imputed[:, c] = data["reading_of"].sel(suspect=study).values == "imputed_sd"
        if imputed[:, c].any():
            month, on_gmfm66 = data["month"].values[c], bool(data["gmfm66"].values[c])
            law = children_sd(tables, study).further_trial(month, gmfm66=on_gmfm66)
            factor[c], log_sd[c] = math.exp(law.log_mean) / spread_field(tables, month, study).median, law.log_sd
    if imputed.any():
        times = xr.DataArray(np.where(imputed, factor, 1.0), dims=("reading", "contrast"))
        changed = _with_errors_times(data, times).assign(log_se_sd=data["log_se_sd"].where(~imputed, log_sd))
        words = "SDs that trials do not print as the model of children's SD predicts them"
        yield replace(base, changed="reading", to="imputed_sd", words=words, data=changed)


def _individual_data(prepared: Prepared, base: Assumed) -> Iterator[Assumed]:
    """Yield each pool of individual data, at the month of the trial, in place of the trials that it holds."""
    spec, tables, month = prepared.plan.evidence, prepared.tables, prepared.plan.trial.month
    pools = sorted({row["meta_id"] for row in tables.where("held")}) if spec.individual_data is None else []
    for pool in pools:
        choice = IndividualData(meta_id=pool, month=month)
        try:
            data = contrasts_of(spec.model_copy(update={"individual_data": choice}), tables)
        except InputError:  # no estimate at this month; or a reading or supposed result of a trial that the pool holds
            continue
        if data.attrs["in_pool"]:
            words = f"{data.attrs['pool']}, its individual data, in place of the trials that it holds"
            yield replace(base, changed="reading", to=pool, words=words, data=data)


def _trials(prepared: Prepared, base: Assumed) -> Iterator[Assumed]:
    """Yield the SD of children at the ends of its distribution and as the field reports it, the correlation within
    units at the ends of its own, and other drop-out."""
    children, law = base.trial.children, base.trial.sd_change

    def with_children(**figures) -> Design:
        changed = {name: getattr(children, name).model_copy(update=value) for name, value in figures.items()}
        return base.trial.model_copy(update={"children": children.model_copy(update=changed)})

    none = {"low": None, "high": None}
    for end, p in ENDS.items() if not isinstance(law, Fixed) else ():
        value = float(law.ppf(np.array(p)))
        trial = with_children(excess_sd={"value": value, "sigma": 0} | none)
        sd = float(children.change_sd(trial.month, np.array(value)))
        yield replace(base, changed="sd", to=f"{sd:.3g}", words=f"SD of change {sd:.2f} ({end})", trial=trial)
    if prepared.unit == "GMFM-66 points":
        field, growth = spread_field(prepared.tables, base.trial.month), children.excess_growth.value
        value = field.median / (base.trial.month / 12) ** growth
        trial = with_children(excess_sd={"value": value, "sigma": min(field.log_sd, 2), "df": None} | none)
        words = f"SD of change as trials on any GMFM scale print it: {field.median:.1f}, log SD {field.log_sd:.2f}"
        yield replace(base, changed="sd", to=f"field {field.median:.3g}", words=words, trial=trial)
    within = base.trial.unit_correlation
    for end, p in ENDS.items() if within and within.sd else ():
        value = float(within.distribution.ppf(np.array(p)))
        words = f"correlation within {base.trial.UNIT} {value:.3g} ({end})"
        yield replace(base, changed="sd", to=f"within {value:.3g}", words=words, trial=base.trial.correlated(value))
    for share in dict.fromkeys((0.0, min(2 * base.trial.dropout, 0.9))):
        if share != base.trial.dropout:
            trial = with_children(dropout={"value": share} | none)
            yield replace(base, changed="dropout", to=f"{share:g}", words=f"drop-out {100 * share:g} %", trial=trial)
