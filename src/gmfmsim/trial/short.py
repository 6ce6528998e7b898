"""The short form: keys that every design takes, for what is mostly changed. Each takes the place of a sourced value."""

import math
from typing import Annotated, get_args

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.positive import LogNormal, LogStudentT
from gmfmsim.evidence.formulas.dose import parse_dose
from gmfmsim.faults import Fault
from gmfmsim.files.toml import Spec, key, parse
from gmfmsim.trial.design import Design
from gmfmsim.trial.designs import KINDS
from gmfmsim.trial.sizes import allocation

SOURCE = {"source": "this experiment", "verified": "assumed"}
PLAINEST = "parallel"
"""The design that a trial has where it names none. Its SD of change is known for twelve months."""


class Short(Spec):
    """What a trial may say in a few keys, over a design that it names or declares.

    sd_change is without treatment; of children on growth curves that of the excess over their curves. sd_ratio is of
    normal children and from 1 on, for they differ in their response to the cells: response_sd = sd sqrt(sd_ratio^2 - 1)
    at the endpoint, sd the median one.
    """

    month: Annotated[float, key("of the endpoint, the last visit", "months", example=12, gt=0, le=120)] | None = None
    ratio: Annotated[float, key("children with cells for each control child", example=2, ge=0.05, le=20)] | None = None
    dropout: Annotated[float, key("children lost, completely at random", "share", example=0.08, ge=0, lt=1)] | None = (
        None
    )
    sd_change: Annotated[
        Annotated[LogNormal | LogStudentT | Fixed, Field(discriminator="dist")] | None,
        key("SD of the change at the endpoint: a number, or a distribution over trials", "GMFM-66 points", example=5.5),
    ] = None
    sd_ratio: Annotated[float, key("SD with cells over that without", example=1.2, ge=1, le=10)] | None = None
    baseline_correlation: (
        Annotated[float, key("of the baseline with later scores, of normal children", example=0.8, ge=0, lt=1)] | None
    ) = None

    @field_validator("sd_change", mode="before", json_schema_input_type=float | LogNormal | LogStudentT | Fixed)
    @classmethod
    def _a_number_is_known(cls, sd: object) -> object:
        number = isinstance(sd, int | float) and not isinstance(sd, bool)
        return {"dist": "fixed", "value": sd} if number else sd

    @field_validator("sd_change")
    @classmethod
    def _above_zero(cls, sd: LogNormal | LogStudentT | Fixed | None) -> LogNormal | LogStudentT | Fixed | None:
        if sd is not None and not 1e-3 <= sd.ppf(np.array(0.5)) <= 1e3:
            raise PydanticCustomError("sd", "an SD above 0, from 0.001 to 1000")
        return sd


def parted(raw: dict) -> tuple[dict, dict]:
    """Return the keys of a declaration that are of the short form, and the others."""
    return {k: raw[k] for k in raw if k in Short.model_fields}, {k: raw[k] for k in raw if k not in Short.model_fields}


def written_out(whole: dict, short: dict, file: str) -> tuple[dict, list[Fault]]:
    """Return a whole declaration with what the short form says in its place, and every fault of saying it.

    whole: a design as its file would declare it, children included; short: the keys of `Short`.
    """
    said, faults = parse(Short, short, file)
    children, arms = whole.get("children"), whole.get("arms")
    if said is None or not isinstance(children, dict):
        return whole, faults
    if said.month is not None:
        whole = whole | _until(said.month, whole)
    if said.ratio is not None:
        whole = whole | {"arms": _allocated(arms, said.ratio)}
        if whole["arms"] is None:
            allowed = "with one arm with cells and one without, no ratio of their own"
            faults.append(Fault(file, "key ratio", "does not say how these arms are allocated", allowed))
    if whole.get("design") == PLAINEST and "sd_change" not in short and whole.get("visits", [12])[-1:] != [12]:
        allowed = "an sd_change of its own where month is not 12: the default is for 12 months"
        faults.append(Fault(file, "key sd_change", "is missing", allowed))
    if said.dropout is not None:
        children = children | {"dropout": {"value": said.dropout} | SOURCE}
    if said.sd_change is not None:
        children = children | {"excess_sd": _spread(said, children, whole)}
    if said.baseline_correlation is not None:
        if children.get("kind") != "normal" or _kind(whole).UNIT:
            allowed = "with normal children who are randomised one by one; elsewhere it follows from who they are"
            faults.append(Fault(file, "key baseline_correlation", "cannot be set for these children", allowed))
        known = {"baseline_correlation": {"value": said.baseline_correlation}, "excess_growth": {"value": 0}}
        children = children | {name: figure | SOURCE for name, figure in known.items()}
    if said.sd_ratio is not None:
        if children.get("kind") != "normal":
            allowed = "with normal children; on growth curves response_sd says how differently children respond"
            faults.append(Fault(file, "key sd_ratio", "cannot be set for these children", allowed))
        children = children | _responding(said.sd_ratio, children, whole)
    return whole | {"children": children}, faults


def _responding(ratio: float, children: dict, whole: dict) -> dict:
    """Return the SD of responses with which the SD of change at the endpoint is `ratio` times that without cells."""
    sd, growth, error = (_value(children, name) for name in ("excess_sd", "excess_growth", "measurement_error"))
    if None in (sd, growth, error):
        return {}  # told where the whole is validated
    least = 0.0 if "baseline_correlation" in children else math.sqrt(2) * error
    onset = whole.get("onset") if isinstance(whole.get("onset"), list) else []
    present = onset[_kind(whole).ENDPOINT] if onset else 1.0
    if not isinstance(present, int | float) or not present > 0:
        return {}
    without = max(sd * (_endpoint(whole) / 12) ** growth, least)
    return {"response_sd": {"value": without * math.sqrt(ratio**2 - 1) / present} | SOURCE}


def _value(children: dict, name: str) -> float | None:
    """Return the value of a figure of children; None where it is no number."""
    figure = children.get(name)
    value = figure.get("value") if isinstance(figure, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _endpoint(whole: dict) -> float:
    """Return the month of the endpoint of a declaration."""
    visits = whole.get("visits")
    return visits[_kind(whole).ENDPOINT] if visits else 12


def _kind(whole: dict) -> type[Design]:
    """Return the kind of design that a declaration says it is; what none has of its own, where it says no kind."""
    return next((kind for kind in KINDS if whole.get("kind") in get_args(kind.model_fields["kind"].annotation)), Design)


def _until(month: float, whole: dict) -> dict:
    """Return the visits of a design whose endpoint is at another month, and its onset there; visits after the endpoint,
    the end of the second period of a crossover, move in proportion."""
    visits = whole.get("visits") if isinstance(whole.get("visits"), list) else []
    if not all(isinstance(v, int | float) and v > 0 for v in visits):
        return {}  # told where the whole is validated
    at = _kind(whole).ENDPOINT % max(len(visits), 1)
    kept, onset = [v for v in visits[:at] if v < month], whole.get("onset")
    moved = {"visits": [*kept, month, *(month * v / visits[at] for v in visits[at + 1 :])]}
    if not isinstance(onset, list) or len(onset) != len(visits):
        return moved
    return moved | {"onset": [*onset[: len(kept)], *onset[at:]]}


def _allocated(arms: object, ratio: float) -> list[dict] | None:
    """Return two arms with `ratio` children with cells for each control child; None for other arms."""
    if not isinstance(arms, list) or len(arms) != 2 or not all(isinstance(arm, dict) for arm in arms):
        return None
    try:
        cells = [parse_dose(arm.get("dose")) > 0 for arm in arms]
    except PydanticCustomError:  # told where the whole is validated
        return None
    if sorted(cells) != [False, True]:
        return None
    ratios = dict(zip((True, False), allocation(ratio), strict=True))
    return [
        {k: v for k, v in arm.items() if k != "n"} | {"ratio": ratios[treated]}
        for arm, treated in zip(arms, cells, strict=True)
    ]


def _spread(said: Short, children: dict, whole: dict) -> dict:
    """Return the SD of the change over 12 months that gives the SD that is said at the endpoint."""
    sd, growth = said.sd_change, children.get("excess_growth")
    exponent = growth.get("value", 0) if isinstance(growth, dict) and said.baseline_correlation is None else 0
    factor = (_endpoint(whole) / 12) ** exponent
    if isinstance(sd, Fixed):
        return {"value": sd.value / factor} | SOURCE
    if isinstance(sd, LogStudentT):
        return {"value": math.exp(sd.location) / factor, "sigma": sd.scale, "df": sd.df} | SOURCE
    return {"value": sd.median / factor, "sigma": sd.sigma} | SOURCE
