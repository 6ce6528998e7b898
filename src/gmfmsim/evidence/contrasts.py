"""From the tables to a Dataset(contrast): effects, their covariance, doses and sources."""

from collections import defaultdict
from typing import Annotated

import numpy as np
import xarray as xr
from pydantic import BeforeValidator, Field

from gmfmsim.evidence.read import Row, Tables, at_month
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.spec import Spec

GMFM66_SCALES = ("GMFM-66", "GMFM-66 observed-minus-expected")


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


type OneOrMore[T] = Annotated[list[T], BeforeValidator(_as_list), Field(min_length=1)]


class Selection(Spec):
    """Which contrasts enter: a row is taken when every key given here holds one of its values.

    Only rows with md100 and md100_se can be taken. `row` is the line in contrasts.csv (the header is line 1);
    cell_class and route are those of the treated arm.
    """

    default_use: OneOrMore[str] | None = None
    study: OneOrMore[str] | None = None
    arm: OneOrMore[str] | None = None
    scale: OneOrMore[str] | None = None
    month: OneOrMore[float] | None = None
    cell_class: OneOrMore[str] | None = None
    route: OneOrMore[str] | None = None
    row: OneOrMore[int] | None = None


def select_contrasts(tables: Tables, selection: Selection, file: str = "experiment") -> xr.Dataset:
    """Select contrasts and return the Dataset(contrast) that a model is fitted to.

    Effects and standard errors are `md100`, `md100_se`: active minus control on a 0-100 scale, positive favours
    treatment. `covariance` (contrast, contrast_) holds md100_se^2 on the diagonal and, for two contrasts that
    share a control_group, the smaller of their control_se100 squared: cov(A - C, B - C) = var(C).
    `gmfm66` says whether a row was measured on the GMFM-66; other rows enter a model through the ratio r.

    Raises InputError for values that no usable row has, for an empty selection, and for rows that count
    children twice.
    """
    arms = {(a["study_id"], a["arm_id"]): a for a in tables.rows["arms"]}
    candidates = [(r, _facets(r, arms)) for r in tables.rows["contrasts"] if None not in (r["md100"], r["md100_se"])]
    wanted = {k: v for k, v in selection.model_dump().items() if v is not None}
    known = {key: {facets[key] for _, facets in candidates} for key in wanted}
    faults = [
        Fault(
            file,
            f"key evidence.select.{key}",
            f"no usable contrast has {key} {value!r}",
            choices(value, sorted(known[key])),
        )
        for key, values in wanted.items()
        for value in values
        if value not in known[key]
    ]
    if not faults:
        rows = [row for row, facets in candidates if all(facets[key] in values for key, values in wanted.items())]
        faults = _selection_faults(rows, arms, file)
    if faults:
        raise InputError(faults)
    return _dataset(rows, arms, tables)


def contrasts_from_arrays(
    effect: np.ndarray,
    covariance: np.ndarray,
    *,
    study: list[str] | None = None,
    dose: np.ndarray | None = None,
    gmfm66: np.ndarray | None = None,
) -> xr.Dataset:
    """Make a Dataset(contrast) from numbers: effect (K,), covariance (K, K) or variances (K,).

    study (K,) defaults to one study a row, dose (K,) in cells/kg to not known, gmfm66 (K,) to true.

    Raises ValueError if the shapes disagree or the covariance is not positive definite.
    """
    effect = np.asarray(effect, float)
    covariance = np.asarray(covariance, float)
    covariance = np.diag(covariance) if covariance.ndim == 1 else covariance
    k = effect.size
    if effect.shape != (k,) or covariance.shape != (k, k):
        raise ValueError(f"effect {effect.shape} and covariance {covariance.shape}: need (K,) and (K, K) or (K,)")
    if np.linalg.eigvalsh(covariance).min() <= 0:
        raise ValueError("the covariance of the effects is not positive definite")
    study = [f"study_{i + 1}" for i in range(k)] if study is None else list(study)
    return xr.Dataset(
        {
            "effect": ("contrast", effect),
            "se": ("contrast", np.sqrt(np.diag(covariance))),
            "log_se_sd": ("contrast", np.zeros(k)),
            "covariance": (("contrast", "contrast_"), covariance),
            "dose": ("contrast", np.full(k, np.nan) if dose is None else np.asarray(dose, float)),
            "control_dose": ("contrast", np.zeros(k)),
            "gmfm66": ("contrast", np.ones(k, bool) if gmfm66 is None else np.asarray(gmfm66, bool)),
            "study": ("contrast", study),
        },
        coords={"contrast": [f"{s} [{i + 1}]" for i, s in enumerate(study)]},
        attrs={"effect": "active minus control, positive favours treatment", "unit": "GMFM-66 points"},
    )


def _facets(row: Row, arms: dict) -> dict:
    """Return what a Selection can ask of a contrast."""
    arm = arms[row["study_id"], row["arm_a"]]
    own = {k: row[k] for k in ("default_use", "scale", "month", "row")}
    return own | {"study": row["study_id"], "arm": row["arm_a"], "cell_class": arm["cell_class"], "route": arm["route"]}


def _selection_faults(rows: list[Row], arms: dict, file: str) -> list[Fault]:
    """Return why a selection cannot be analysed: nothing selected, or children counted twice."""
    where = "key evidence.select"
    if not rows:
        return [Fault(file, where, "no contrast meets all conditions", "a selection of at least one contrast")]
    children: dict[tuple, list[Row]] = defaultdict(list)
    uses: dict[str, dict[str, Row]] = defaultdict(dict)
    controls: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        parts = arms[row["study_id"], row["arm_a"]]["composite_of"] or row["arm_a"]
        for arm in sorted({row["arm_a"], *parts.split(";")}):
            children[row["study_id"], arm].append(row)
        uses[row["study_id"]].setdefault(row["default_use"], row)
        controls[row["study_id"]].add(row["arm_b"])
    faults = []
    for (study, arm), group in children.items():
        if len(group) > 1:
            problem = f"rows {', '.join(str(r['row']) for r in group)} hold the same children ({study} {arm})"
            faults.append(
                Fault(file, where, problem, "one contrast for each treated arm (choose a month, scale or row)")
            )
    for study, used in controls.items():
        if len(used) > 1:
            problem = (
                f"{study} is selected against several controls ({', '.join(sorted(used))}): children may stand in both"
            )
            faults.append(Fault(file, where, problem, "one control arm for each study"))
    for study, used in uses.items():
        if len(used) > 1:
            problem = (
                " and ".join(f"row {r['row']} ({use})" for use, r in used.items()) + f" of {study} replace each other"
            )
            faults.append(Fault(file, where, problem, "one default_use for each study"))
    return faults


def _dataset(rows: list[Row], arms: dict, tables: Tables) -> xr.Dataset:
    def column(name: str) -> np.ndarray:
        return np.array([np.nan if r[name] is None else r[name] for r in rows], float)

    def arm(role: str, name: str) -> list:
        return [arms[r["study_id"], r[role]][name] for r in rows]

    def text(name: str) -> tuple[str, list[str]]:
        return "contrast", [r[name] or "" for r in rows]

    control_se, group = column("control_se100"), np.array([r["control_group"] or "" for r in rows])
    covariance = shared_control_covariance(column("md100_se"), control_se, group)
    citation = {s["study_id"]: s["citation"] for s in tables.rows["studies"]}
    labels = [f"{r['study_id']} {r['arm_a']} v {r['arm_b']}, {at_month(r['month'])}" for r in rows]
    _check_covariance(covariance, control_se, group, rows)
    data = contrasts_from_arrays(
        column("md100"),
        covariance,
        study=[r["study_id"] for r in rows],
        dose=np.array(arm("arm_a", "dose_total_cells_per_kg"), float),
        gmfm66=np.array([r["scale"] in GMFM66_SCALES for r in rows]),
    )
    return data.assign_coords(contrast=labels).assign(
        control_dose=("contrast", np.array(arm("arm_b", "dose_total_cells_per_kg"), float)),
        log10_dose=("contrast", np.array(arm("arm_a", "log10_dose"), float)),
        log10_dose_sd=("contrast", np.array(arm("arm_a", "log10_dose_sd"), float)),
        month=("contrast", column("month")),
        cell_class=("contrast", arm("arm_a", "cell_class")),
        route=("contrast", arm("arm_a", "route")),
        arm=text("arm_a"),
        control=text("arm_b"),
        control_group=("contrast", group),
        control_se=("contrast", control_se),
        n_active=("contrast", column("n_a")),
        n_control=("contrast", column("n_b")),
        scale=text("scale"),
        measure=text("measure"),
        row=("contrast", [r["row"] for r in rows]),
        source_url=text("source_url"),
        source_location=text("source_location"),
        verified=text("verified"),
        notes=text("notes"),
        citation=("contrast", [citation[r["study_id"]] for r in rows]),
    )


def shared_control_covariance(se: np.ndarray, control_se: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the covariance (K, K) of contrasts: se^2 and, where two share a control_group, their controls' variance.

    cov(A - C, B - C) = var(C), the smaller of the two control_se squared (Gleser & Olkin 2009). group "": no other's.
    """
    shared = (group[:, None] == group) & (group != "")
    covariance = np.where(shared, np.fmin.outer(control_se, control_se) ** 2, 0.0)
    np.fill_diagonal(covariance, se**2)
    return covariance


def _check_covariance(covariance: np.ndarray, control_se: np.ndarray, group: np.ndarray, rows: list[Row]) -> None:
    """Raise InputError if shared controls lack their standard error or the covariance is impossible."""
    pairs = (group[:, None] == group) & (group != "") & ~np.eye(len(rows), dtype=bool)
    faults = [
        Fault(
            "contrasts.csv",
            f"row {r['row']}, column control_se100",
            f"empty, and {r['control_group']} is shared",
            "a number above 0",
        )
        for r, se, shares in zip(rows, control_se, pairs.any(axis=1), strict=True)
        if shares and np.isnan(se)
    ]
    if not faults and np.linalg.eigvalsh(covariance).min() <= 0:
        problem = "the covariance of the selected contrasts is not positive definite"
        faults = [Fault("contrasts.csv", "columns md100_se, control_se100", problem, "control_se100 below md100_se")]
    if faults:
        raise InputError(faults)
