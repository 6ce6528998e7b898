"""From the tables to a Dataset(contrast): effects, their covariance, doses and sources."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, Field

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.covariates import contrast_covariates
from gmfmsim.evidence.schema import GMFM66_SCALES, Row, Tables, at_month, grouped
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.files.toml import Spec, key


class _OrOne:
    """Says to JSON schemas that a list may be written as its one entry."""

    def __get_pydantic_json_schema__(self, core_schema, handler):
        several = handler(core_schema)
        return {"anyOf": [several["items"], several]}


type OneOrMore[T] = Annotated[
    list[T], BeforeValidator(lambda value: value if isinstance(value, list) else [value]), Field(min_length=1), _OrOne()
]


class Selection(Spec):
    """Which contrasts enter: a row is taken when every key given here holds one of its values.

    Only rows with md100 can be taken that have md100_se too, or readings (of readings.csv) that give it.
    """

    default_use: Annotated[OneOrMore[str] | None, key("what contrasts.csv says of its use", example="primary")] = None
    study: Annotated[OneOrMore[str] | None, key("studies", example=["Huang2018", "Sun2017"])] = None
    arm: Annotated[OneOrMore[str] | None, key("treated arms", example="high")] = None
    scale: Annotated[OneOrMore[str] | None, key("scales", example="GMFM-66")] = None
    month: Annotated[OneOrMore[float] | None, key("months of measurement", "months", example=[6, 12])] = None
    cell_class: Annotated[OneOrMore[str] | None, key("cells of the treated arm", example="TNC_MNC")] = None
    route: Annotated[OneOrMore[str] | None, key("how the treated arm got them", example=["IV", "IV/IA"])] = None
    row: Annotated[OneOrMore[int] | None, key("lines of contrasts.csv, the header is line 1", example=[2, 3])] = None


def select_contrasts(
    tables: Tables,
    selection: Selection,
    file: str = "experiment",
    *,
    month_correlation: float | None = None,
    every_month: bool = False,
    network: bool = False,
) -> xr.Dataset:
    """Select contrasts and return the Dataset(contrast) that a model is fitted to.

    Effects and standard errors are `md100`, `md100_se`: active minus control on a 0-100 scale, positive favours
    treatment. `covariance` (contrast, contrast_) is that of `contrast_covariance`; `gmfm66` says whether a row was
    measured on the GMFM-66 (other rows enter a model through the ratio r); covariates are those of
    `contrast_covariates`. A standard error is NaN where readings are to give it (`read_contrasts`). What was asked for
    on a GMFM scale and lacks a figure is named in attrs["left_out"].

    month_correlation (from 0, below 1) lets several months of one arm in, on one scale and against one control: it is
    the correlation of the errors of the same children's changes at two visits, one at twice the month of the other.
    Then the months of a study may differ in default_use. Without it an arm has one month. every_month adds to each
    contrast its other months: rows of the same arms, scale and measure. network lets a treated arm in against several
    control arms of its study, on one scale at one month, whatever their default_use: a model has to tell these
    controls apart.

    Raises InputError for values that no usable row has, for an empty selection, and for rows that count
    children twice; ValueError for an impossible month_correlation.
    """
    if month_correlation is not None and not 0 <= month_correlation < 1:
        raise ValueError(f"month_correlation {month_correlation!r}: a number from 0, below 1, or None")
    arms = tables.arms
    wanted = {k: v for k, v in selection.model_dump().items() if v is not None}
    candidates = [(r, lacks(r, tables), _facets(r, arms)) for r in tables.rows["contrasts"]]
    faults = [fault for key, values in wanted.items() for fault in _unknown(candidates, key, values, file)]
    if not faults:
        fits = [(r, empty) for r, empty, facets in candidates if all(facets[k] in v for k, v in wanted.items())]
        rows = [row for row, empty in fits if not empty]
        if every_month:
            rows += _other_months(rows, [row for row, empty, _ in candidates if not empty])
        left_out = _in_words([(row, empty) for row, empty in fits if empty and row["scale"].startswith("GMFM")])
        faults = _selection_faults(rows, arms, file, month_correlation is not None, network)
        faults += _lines_of_several(rows, file) if selection.row else []
        if not rows and left_out:
            problem = f"no contrast that meets all conditions can be used: {left_out}"
            allowed = "rows with md100, and md100_se or readings that give it"
            faults = [Fault(file, "key evidence.select", problem, allowed)]
    if faults:
        raise InputError(faults)
    return _dataset(rows, tables, month_correlation).assign_attrs({"left_out": left_out} if left_out else {})


def contrasts_from_arrays(
    effect: np.ndarray,
    covariance: np.ndarray,
    *,
    study: list[str] | None = None,
    dose: np.ndarray | None = None,
    gmfm66: np.ndarray | None = None,
    covariates: Mapping[str, ArrayLike] | None = None,
) -> xr.Dataset:
    """Make contrasts of one reading from numbers: effect (K,), covariance (K, K) or variances (K,).

    study (K,) defaults to one study a row, dose (K,) in cells/kg to not known, gmfm66 (K,) to true.
    covariates: further variables (K,) by name, numbers, truth values or texts, such as cell_class, route or age.

    Raises ValueError if the shapes disagree, the covariance is not positive definite, or a covariate has the name of
    another variable.
    """
    effect = np.asarray(effect, float)
    covariance = np.asarray(covariance, float)
    covariance = np.diag(covariance) if covariance.ndim == 1 else covariance
    k = effect.size
    if effect.shape != (k,) or covariance.shape != (k, k):
        raise ValueError(f"effect {effect.shape} and covariance {covariance.shape}: need (K,) and (K, K) or (K,)")
    if not is_covariance(covariance):
        raise ValueError("the covariance of the effects is not positive definite")
    study = [f"study_{i + 1}" for i in range(k)] if study is None else list(study)
    dose = np.full(k, np.nan) if dose is None else np.asarray(dose, float)
    gmfm66 = np.ones(k, bool) if gmfm66 is None else np.asarray(gmfm66, bool)
    return one_reading(_with_covariates(bare(effect, covariance, study, dose, gmfm66), covariates or {}))


def one_reading(data: xr.Dataset) -> xr.Dataset:
    """Return contrasts as they stand: effect, se, log_se_sd and covariance gain the dim `reading`, of size one.

    Its `weight` (reading) is 1 and no study is `suspect`; see `readings.read_contrasts`.
    """
    named = ((name, data[name]) for name in ("effect", "se", "log_se_sd", "covariance"))
    figures = {name: (("reading", *x.dims), x.values[None]) for name, x in named}
    of_none = {"weight": ("reading", np.ones(1)), "reading_of": (("reading", "suspect"), np.empty((1, 0), "U1"))}
    return data.assign(figures | of_none).assign_coords(suspect=np.empty(0, "U1"))


def bare(
    effect: np.ndarray, covariance: np.ndarray, study: list[str], dose: np.ndarray, gmfm66: np.ndarray
) -> xr.Dataset:
    """Return a Dataset(contrast) of arrays (K,) and a covariance (K, K), none of which is checked."""
    k = effect.size
    return xr.Dataset(
        {
            "effect": ("contrast", effect),
            "se": ("contrast", np.sqrt(np.diag(covariance))),
            "log_se_sd": ("contrast", np.zeros(k)),
            "covariance": (("contrast", "contrast_"), covariance),
            "dose": ("contrast", dose),
            "control_dose": ("contrast", np.zeros(k)),
            "gmfm66": ("contrast", gmfm66),
            "study": ("contrast", study),
        },
        coords={"contrast": [f"{s} [{i + 1}]" for i, s in enumerate(study)]},
        attrs={"effect": "active minus control, positive favours treatment", "unit": "GMFM-66 points"},
    )


def _with_covariates(data: xr.Dataset, covariates: Mapping[str, ArrayLike]) -> xr.Dataset:
    """Return data with further variables (contrast)."""
    k = data.sizes["contrast"]
    covariates = {name: np.asarray(values) for name, values in covariates.items()}
    for name, values in covariates.items():
        if name in data.variables or name in data.dims:
            raise ValueError(f"covariate {name!r}: there is a variable of this name already")
        if values.shape != (k,) or values.dtype.kind not in "biufU":
            problem = f"shape {values.shape}, dtype {values.dtype}"
            raise ValueError(f"covariate {name!r} has {problem}: need ({k},), numbers, truth values or texts")
    return data.assign({name: ("contrast", values) for name, values in covariates.items()})


def _facets(row: Row, arms: dict) -> dict:
    """Return what a Selection can ask of a contrast."""
    arm = arms[row["study_id"], row["arm_a"]]
    own = {k: row[k] for k in ("default_use", "scale", "month", "row")}
    return own | {"study": row["study_id"], "arm": row["arm_a"], "cell_class": arm["cell_class"], "route": arm["route"]}


def lacks(row: Row, tables: Tables) -> tuple[str, ...]:
    """Return the columns without which a contrast cannot be used; readings may give a standard error that is empty."""
    read = {k: row[k] for k in ("study_id", "scale", "month")}
    empty = [c for c in ("md100", "md100_se") if row[c] is None]
    return () if empty == ["md100_se"] and tables.where("readings", **read) else tuple(empty)


def _unknown(candidates: list[tuple], key: str, values: list, file: str) -> Iterator[Fault]:
    """Yield a fault for each value that no usable contrast has, and where others have it, why these cannot be used.

    candidates: row, what it lacks and its facets.
    """
    known = {facets[key] for _, empty, facets in candidates if not empty}
    for value in (v for v in values if v not in known):
        others = _in_words([(row, empty) for row, empty, facets in candidates if facets[key] == value])
        problem = f"no usable contrast has {key} {value!r}" + (f": {others}" if others else "")
        yield Fault(file, f"key evidence.select.{key}", problem, choices(value, sorted(known)))


def _other_months(rows: list[Row], usable: list[Row]) -> list[Row]:
    """Return the rows at months of the arms of `rows` that these lack, on the same scale, by the same measure."""
    alike, found = itemgetter("study_id", "arm_a", "arm_b", "scale", "measure"), []
    for like, own in grouped(rows, alike).items():
        months = {row["month"] for row in own}
        found += [row for row in usable if alike(row) == like and row["month"] not in months]
    return found


def _in_words(rows: list[tuple[Row, tuple[str, ...]]], most: int = 8) -> str:
    """Say which rows lack which columns, at most so many of each kind by number: "row 5 has no md100_se"."""
    parts = []
    for (file, columns), own in grouped(rows, lambda one: (one[0]["file"], one[1])).items():
        lines, several = [str(row["row"]) for row, _ in own], len(own) > 1
        more = f" and {len(lines) - most} more" if len(lines) > most else ""
        has = f" of {file} {'have' if several else 'has'} no {' and no '.join(columns)}"
        parts.append(f"row{'s' * several} {', '.join(lines[:most])}{more}{has}")
    return "; ".join(parts)


def _lines_of_several(rows: list[Row], file: str) -> list[Fault]:
    """Return a fault for each line that was asked for and stands in several files."""
    faults = []
    for line, own in grouped(rows, itemgetter("row")).items():
        if len(files := sorted({row["file"] for row in own})) > 1:
            problem = f"row {line} is a contrast of {' and of '.join(files)}"
            faults.append(Fault(file, "key evidence.select.row", problem, "beside row the study that is meant"))
    return faults


def _are_visits(group: list[Row]) -> bool:
    """Return whether rows are one arm against one control on one scale, each at another, known month."""
    months = {r["month"] for r in group if r["month"] is not None and not math.isnan(r["month"])}
    return len(months) == len(group) and len({(r["arm_a"], r["arm_b"], r["scale"]) for r in group}) == 1


def _networks(rows: list[Row], arms: dict) -> set[str]:
    """Return the studies whose treated arms may stand against several controls: on one scale, at one month, all arms
    without children in common, none treated here and a control there."""
    found = set()
    for study, own in grouped(rows, itemgetter("study_id")).items():
        treated, controls = ({row[role] for row in own} for role in ("arm_a", "arm_b"))
        parts = [part for arm in treated | controls for part in (arms[study, arm]["composite_of"] or arm).split(";")]
        pairs = {(row["arm_a"], row["arm_b"]) for row in own}
        alike = len({(row["scale"], row["month"]) for row in own}) == 1 and len(pairs) == len(own)
        if alike and len(set(parts)) == len(parts) and not treated & controls and len(controls) > 1:
            found.add(study)
    return found


def _selection_faults(rows: list[Row], arms: dict, file: str, visits_correlate: bool, network: bool) -> list[Fault]:
    """Return why a selection cannot be analysed: nothing selected, or children counted twice.

    visits_correlate: the correlation of the months of an arm is known, so that several may be taken. network: a treated
    arm may stand against several controls.
    """
    where = "key evidence.select"
    if not rows:
        return [Fault(file, where, "no contrast meets all conditions", "a selection of at least one contrast")]
    able = _networks(rows, arms)
    rows = [row for row in rows if not (network and row["study_id"] in able)]
    children: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        parts = arms[row["study_id"], row["arm_a"]]["composite_of"] or row["arm_a"]
        for arm in sorted({row["arm_a"], *parts.split(";")}):
            children[row["study_id"], arm].append(row)
    studies = grouped(rows, itemgetter("study_id"))
    faults = []
    way_out = "; or, for several months of an arm, their correlation in evidence.month_correlation"
    twice = set()
    for (study, arm), group in children.items():
        visits = _are_visits(group)
        if len(group) > 1 and not visits:
            twice.add(study)
        if len(group) > 1 and not (visits and visits_correlate):
            problem = f"rows {', '.join(str(r['row']) for r in group)} hold the same children ({study} {arm})"
            allowed = "one contrast for each treated arm (choose a month, scale or row)" + (way_out if visits else "")
            faults.append(Fault(file, where, problem, allowed))
    for study, own in studies.items():
        if len(controls := sorted({row["arm_b"] for row in own})) > 1:
            named = ", ".join(controls)
            problem = f"{study} is selected against several controls ({named}): children may stand in both"
            apart = "; or evidence.network, with a model that tells the controls apart" if study in able else ""
            faults.append(Fault(file, where, problem, f"one control arm for each study{apart}"))
    for study, own in studies.items():
        used = grouped(own, itemgetter("default_use"))
        # arms that one default_use holds side by side do not replace each other at another month under another
        treated = [{r["arm_a"] for r in group} for group in used.values()]
        nested = all(a <= b or b <= a for a, b in itertools.combinations(treated, 2))
        if len(used) > 1 and not (nested and visits_correlate):
            first = " and ".join(f"row {group[0]['row']} ({use})" for use, group in used.items())
            allowed = "one default_use for each study" + (way_out if nested and study not in twice else "")
            faults.append(Fault(file, where, f"{first} of {study} replace each other", allowed))
    return faults


def labelled(row: Row) -> str:
    """Return what a contrast is called: study, arm with cells, control and month."""
    return f"{row['study_id']} {row['arm_a']} v {row['arm_b']}, {at_month(row['month'])}"


def _dataset(rows: list[Row], tables: Tables, month_correlation: float | None) -> xr.Dataset:
    arms, studies = tables.arms, tables.studies

    def column(name: str) -> np.ndarray:
        return np.array([np.nan if r[name] is None else r[name] for r in rows], float)

    def arm(role: str, name: str) -> list:
        return [arms[r["study_id"], r[role]][name] for r in rows]

    def text(name: str) -> tuple[str, np.ndarray]:
        return "contrast", np.array([r[name] or "" for r in rows])

    se, control_se = column("md100_se"), column("control_se100")
    names = {"arm": "arm_a", "control": "arm_b", "control_group": "control_group", "study": "study_id"}
    children = xr.Dataset(
        {name: text(named) for name, named in names.items()} | {"month": ("contrast", column("month"))},
        attrs={} if month_correlation is None else {"month_correlation": month_correlation},
    )
    covariance = contrast_covariance(children, se, control_se)
    _check_covariance(covariance, children, control_se, rows)
    dose = np.array(arm("arm_a", "dose_total_cells_per_kg"), float)
    gmfm66 = np.array([r["scale"] in GMFM66_SCALES for r in rows])
    data = bare(column("md100"), covariance, [r["study_id"] for r in rows], dose, gmfm66)
    data = _with_covariates(data, contrast_covariates(rows, tables))
    return (
        data.assign(children.drop_vars("study"))
        .assign_coords(contrast=[labelled(r) for r in rows])
        .assign_attrs(children.attrs)
        .assign(
            control_dose=("contrast", np.array(arm("arm_b", "dose_total_cells_per_kg"), float)),
            log10_dose=("contrast", np.array(arm("arm_a", "log10_dose"), float)),
            control_se=("contrast", control_se),
            n_active=("contrast", column("n_a")),
            n_control=("contrast", column("n_b")),
            **{name: text(name) for name in ("scale", "measure")},
            row=("contrast", [r["row"] for r in rows]),
            file=("contrast", [r["file"] for r in rows]),
            **{name: text(name) for name in ("source_url", "source_location", "verified", "notes")},
            citation=("contrast", [studies[r["study_id"]]["citation"] for r in rows]),
        )
    )


def _same(values: np.ndarray) -> np.ndarray:
    """Return where two of values (K,) are equal, (K, K); NaN equals NaN: arms of one unknown month stand together."""
    return (values[:, None] == values) | ((values[:, None] != values[:, None]) & (values != values))


def same_arms(data: xr.Dataset) -> np.ndarray:
    """Return which contrasts are of one arm against one control, at whatever month, (K, K)."""
    return np.logical_and.reduce([_same(data[name].values) for name in ("study", "arm", "control")])


def _share_control(data: xr.Dataset) -> np.ndarray:
    group = data["control_group"].values
    return (group[:, None] == group) & (group != "")


def _share_treated(data: xr.Dataset) -> np.ndarray:
    """Return which contrasts (K, K) have one treated arm, at one month, against two controls."""
    same = (_same(data[name].values) for name in ("study", "arm", "month"))
    return np.logical_and.reduce([*same, ~_same(data["control"].values)])


def at_last_month(data: xr.Dataset) -> np.ndarray:
    """Return which contrasts (K,) are at the last month of their arms: one a pair of arms, where it has several."""
    month = data["month"].values
    return ~(same_arms(data) & (month > month[:, None])).any(axis=1)


def contrast_covariance(data: xr.Dataset, se: np.ndarray, control_se: np.ndarray) -> np.ndarray:
    """Return the covariance (..., K, K) of contrasts with standard errors se and those of their controls (..., K).

    On the diagonal se^2. Two arms A, B against one control_group C: cov(A - C, B - C) = var(C), the smaller of the two
    control_se squared (Gleser & Olkin 2009). One arm A against two controls C, D: cov(A - C, A - D) = var(A), the
    smaller se^2 - control_se^2. Where data.attrs has month_correlation rho, at months s < t, with
    c = rho^log2(t / s): cov(A_s - C_s, B_t - C_t) = c control_se control_se', the errors of the same control children,
    and cov(A_s - C_s, A_t - C_t) = c se se', those of the same children in both arms. So errors correlate by lag, an
    Ornstein-Uhlenbeck process in log time as that of simulated children; c = rho where a month is not known, or 0.

    data names the children: study, arm, control, control_group ("": no other's) and month, all (K,).
    """
    se, control_se = np.asarray(se, float), np.asarray(control_se, float)
    least = np.fmin(control_se[..., :, None], control_se[..., None, :])
    covariance = np.where(_share_control(data), least**2, 0.0)
    treated = se**2 - control_se**2
    least = np.fmin(treated[..., :, None], treated[..., None, :])
    covariance = np.where(_share_treated(data), least, covariance)
    rho = data.attrs.get("month_correlation")
    if rho is not None:
        month = data["month"].values
        later, correlation = ~_same(month), _by_lag(rho, month)
        product = control_se[..., :, None] * control_se[..., None, :]
        covariance = np.where(_share_control(data) & later, correlation * product, covariance)
        product = se[..., :, None] * se[..., None, :]
        covariance = np.where(same_arms(data) & later, correlation * product, covariance)
    diagonal = np.eye(se.shape[-1], dtype=bool)
    return np.where(diagonal, se[..., None] ** 2, covariance)


def _by_lag(rho: float, month: np.ndarray) -> np.ndarray:
    """Return rho^|log2(t / s)| for every pair of months (K,), (K, K); rho where one is not known, or 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lag = np.abs(np.log2(month)[:, None] - np.log2(month))
    return rho ** np.where(np.isfinite(lag), lag, 1.0)


def is_covariance(matrix: np.ndarray) -> bool:
    """Return whether a matrix (K, K) is a covariance: every number known, and positive definite."""
    return bool(np.isfinite(matrix).all()) and np.linalg.eigvalsh(matrix).min() > 0


def _check_covariance(covariance: np.ndarray, data: xr.Dataset, control_se: np.ndarray, rows: list[Row]) -> None:
    """Raise InputError if shared arms lack their standard error or the covariance is impossible.

    Rows whose standard error readings give are left to these: `read_contrasts` checks every combination.
    """
    control, treated = (_share_control(data) & ~same_arms(data)).any(axis=1), _share_treated(data).any(axis=1)
    tabled = np.array([r["md100_se"] is not None for r in rows])
    faults = []
    empty = (control | treated) & tabled & np.isnan(control_se)
    for r, of_control in ((rows[i], control[i]) for i in np.flatnonzero(empty)):
        where = f"row {r['row']}, column control_se100"
        problem = f"empty, and {r['control_group'] if of_control else r['arm_a']} is shared"
        faults.append(Fault(r["file"], where, problem, "a number above 0"))
    if not faults and tabled.any() and not is_covariance(covariance[np.ix_(tabled, tabled)]):
        problem = "the covariance of the selected contrasts is not positive definite"
        rho = data.attrs.get("month_correlation")
        allowed = "control_se100 below md100_se" + (f", or month_correlation below {rho:g}" if rho else "")
        files = ", ".join(dict.fromkeys(r["file"] for r in rows))
        faults = [Fault(files, "columns md100_se, control_se100", problem, allowed)]
    if faults:
        raise InputError(faults)
