"""The record of calibration: declared models held to data simulated from them, by every engine, with hash and date."""

import hashlib
import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from gmfmsim.compute.executors import in_order
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.files.shelf import names
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import refusal
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.structure import not_known
from gmfmsim.model.terms import TERMS
from gmfmsim.progress import Silent
from gmfmsim.proof.next_study import PLANTED, Held, Planted, R, coverage, forecaster
from gmfmsim.proof.planted import exact_engine, nuts_engine, simulate, uniformity
from gmfmsim.proof.record import origin, read_record, write_record
from gmfmsim.streams import stream

SEED = 20260704
RECORD = "calibration.json"
STUDIES = ("exact", "exact_readings", "next_study", "nuts", "divergences")
"""What is recorded of a model. exact, nuts: calibration of an engine, with figures as tabled; exact_readings: with the
readings of suspect figures averaged over; next_study: coverage of intervals at planted truths; divergences: the
sampling engine on 2 to 20 studies."""
DATA_SETS = {"exact": 1000, "exact_readings": 200, "next_study": 200, "nuts": 200, "divergences": 100}
BLOCK = 100
"""Data sets that one process takes at a time; the sampling engine is compiled for each block."""
SAMPLER = {"nuts": Sampler(draws=500), "divergences": Sampler(chains=2, draws=250, tune=500)}
"""Chains shorter than those of a run: 19 x 100 fits of every model have to end."""
SIZES = range(2, 21)
"""Numbers of studies on which divergences are counted."""
PACKAGES = ("numpy", "scipy", "numba", "pymc", "pytensor", "nutpie", "arviz")
MONTH_CORRELATION = 0.7
"""Of the errors of one arm at a month and at twice that month, as the quick start has it."""
CORD_BLOOD = Selection(default_use=["primary"], cell_class=["TNC_MNC"], route=["IV", "IV/IA"])
"""The contrasts on one dose scale."""
NETWORK = Selection(row=[2, 3, 16, 29, 33, 38])
"""The same with the cells of Min 2013 against both of its control arms."""


class Block(NamedTuple):
    """Some data sets of one study of one model: of `contrasts`, those with these numbers."""

    model: str
    study: str
    said: dict  # the spec as plain values: the classes of its priors do not travel between processes
    contrasts: xr.Dataset
    numbers: range
    planted: Planted | None = None

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        return ModelSpec.model_validate(self.said)


def calibrate(
    out: Path,
    models: Iterable[str] | None = None,
    studies: Iterable[str] | None = None,
    *,
    workers: int = 1,
    progress: Silent | None = None,
) -> dict:
    """Run the studies of some models (all by default), put them into the record in folder `out` and return it.

    The other entries of the record stay; an entry is written as soon as it is complete. Figures do not depend on the
    number of workers (processes). A study that its engine refuses is left out.

    Raises InputError for unknown models and studies.
    """
    models, studies = list(models or names("models")), list(studies or STUDIES)
    unknown = [s for s in studies if s not in STUDIES]
    if unknown:
        raise InputError(Fault("calibrate", "study", f"there is no {s!r}", choices(s, STUDIES)) for s in unknown)
    blocks = [
        block
        for model, spec in [(name, read_model(ModelChoice(name=name), file="calibrate")) for name in models]
        for study in studies
        for block in _blocks(model, spec, study, read_tables())
    ]
    progress, found = progress or Silent(), in_order(_place, blocks, "processes", workers)
    with progress.steps("calibrate", total=len(blocks)) as step:
        for _, group in groupby(blocks, key=lambda b: (b.model, b.study)):
            entry = []
            for block in group:
                entry.append((block, next(found)))
                step()
            first = entry[0][0]
            progress.stage(f"{first.model}: {first.study}")
            figures = {"divergences": _divergences, "next_study": _next_study}.get(first.study, _calibration)
            _record(out, first, figures(entry))
    return read_record(out / RECORD)


def model_hash(spec: ModelSpec) -> str:
    """Return the SHA-256 of what a declared model says, without its words (title, reasons, units)."""
    said = spec.model_dump(mode="json", exclude={"title": True, "priors": {"__all__": {"reason", "unit"}}})
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def design(spec: ModelSpec, tables: Tables, readings: str = "as_tabled") -> xr.Dataset:
    """Return the contrasts of the evidence that a model is calibrated on: those whose dose and covariates it knows.

    All primary contrasts; for a dose-response without cell classes those of cord blood cells by vein, and these as a
    network of arms for erythropoietin; for a course in time with the other months of each.
    """
    by_dose = spec.shape.uses_dose and "cell_class" not in spec.terms
    chosen, network = CORD_BLOOD if by_dose else Selection(default_use=["primary"]), "epo" in spec.terms
    over_time = {"every_month": True, "month_correlation": MONTH_CORRELATION} if "course" in spec.terms else {}
    selected = select_contrasts(tables, NETWORK if network else chosen, network=network, **over_time)
    data = read_contrasts(selected, tables, readings)
    unknown = [name for _, lacking in not_known(spec, data) for name in lacking]
    known = ~np.isin(data["contrast"].values, unknown)
    return data.isel(contrast=known, contrast_=known)


def resampled(spec: ModelSpec, data: xr.Dataset, k: int, seed: int) -> xr.Dataset:
    """Return contrasts of k studies: standard errors and covariates of rows of `data`, drawn with replacement.

    Doses are log-uniform between the lowest and the highest of `data`. Every contrast is a study of its own.
    """
    rng = stream(seed, "resampled studies", k)
    rows = data.isel(reading=0, contrast=rng.integers(data.sizes["contrast"], size=k))
    low, high = np.log(np.nanmin(data["dose"])), np.log(np.nanmax(data["dose"]))
    needs = [TERMS[term].needs for term in spec.terms if TERMS[term].needs]
    needs += [f"{name}_sd" for name in needs if f"{name}_sd" in data]
    return contrasts_from_arrays(
        np.zeros(k),
        rows["se"].values ** 2,
        dose=np.exp(rng.uniform(low, high, size=k)),
        gmfm66=rows["gmfm66"].values,
        covariates={name: rows[name].values for name in needs},
    )


def applies(study: str, spec: ModelSpec, tables: Tables) -> bool:
    """Return whether a study can be made of a model: its engine fits it, and its contrasts have readings to average."""
    if study == "exact_readings":
        # one plain model: the mixture over readings is the same for all, and costs with every further parameter
        return (spec.curve, spec.heterogeneity, spec.terms) == ("constant", "normal", [])
    if study == "next_study":
        return (spec.curve, spec.heterogeneity) == ("constant", "normal") and set(spec.terms) <= {"arms"}
    return study != "exact" or refusal(spec, design(spec, tables)) is None


def _blocks(model: str, spec: ModelSpec, study: str, tables: Tables) -> list[Block]:
    if not applies(study, spec, tables):
        return []
    said = spec.model_dump()
    data = design(spec, tables, "average" if study == "exact_readings" else "as_tabled")
    if study == "divergences":
        return [Block(model, study, said, resampled(spec, data, k, SEED), range(DATA_SETS[study])) for k in SIZES]
    numbers = range(DATA_SETS[study])
    if study == "next_study":
        return [Block(model, study, said, data, numbers, planted) for planted in PLANTED]
    return [Block(model, study, said, data, numbers[i : i + BLOCK]) for i in range(0, len(numbers), BLOCK)]


def _place(block: Block) -> list[dict]:
    """Return for every data set of a block where the posterior puts the truths, or why there is none."""
    spec, contrasts, found = block.spec, block.contrasts, []
    if block.planted:
        held = forecaster(spec, contrasts, block.planted, SEED)
        return [held(number)._asdict() for number in block.numbers]
    sampled = block.study in SAMPLER
    engine = nuts_engine(spec, contrasts, SAMPLER[block.study]) if sampled else exact_engine(spec, contrasts)
    for number in block.numbers:
        simulated = simulate(spec, contrasts, SEED, number)
        try:
            found.append(engine(simulated)._asdict())
        except Exception as error:  # whatever stops a fit is counted and listed, and holds the record back
            found.append({"data_set": number, "error": f"{type(error).__name__}: {error}"})
    return found


def _failed(found: list[dict]) -> list[dict]:
    return [row for row in found if "error" in row]


def _calibration(entry: list[tuple[Block, list[dict]]]) -> dict:
    """Return the figures of a calibration: of every quantity, with the Monte Carlo error of a right coverage."""
    found = [row for _, rows in entry for row in rows]
    good = [row for row in found if "pit" in row]
    quantities = good[0]["pit"] if good else ()
    size = max(1, len(good))
    first = entry[0][0]
    sampled = {
        "divergences": sum(row["divergences"] for row in good),
        "worst_r_hat": round(max((row["r_hat"] for row in good), default=np.nan), 4),
    }
    return {
        "contrasts": first.contrasts.sizes["contrast"],
        "data_sets": len(found),
        "failed": _failed(found),
        "mcse_coverage_50": round(0.5 / size**0.5, 4),
        "mcse_coverage_95": round((0.95 * 0.05 / size) ** 0.5, 4),
        "quantities": {name: uniformity(np.array([row["pit"][name] for row in good])) for name in quantities},
    } | (sampled | {"sampler": SAMPLER[first.study].model_dump()} if first.study in SAMPLER else {})


def _divergences(entry: list[tuple[Block, list[dict]]]) -> dict:
    """Return divergences and the worst R-hat by number of studies."""
    by_studies = {}
    for block, found in entry:
        good = [row for row in found if "pit" in row]
        by_studies[str(block.contrasts.sizes["contrast"])] = {
            "data_sets": len(found),
            "failed": _failed(found),
            "divergences": sum(row["divergences"] for row in good),
            "fits_with_divergences": sum(row["divergences"] > 0 for row in good),
            "worst_r_hat": round(max((row["r_hat"] for row in good), default=np.nan), 4),
        }
    return {"sampler": SAMPLER["divergences"].model_dump(), "studies": by_studies}


def _next_study(entry: list[tuple[Block, list[dict]]]) -> dict:
    """Return the coverage of intervals of the next study at every planted truth."""
    truths = [block.planted._asdict() | coverage([Held(**row) for row in found]) for block, found in entry]
    first = entry[0][0]
    return {"contrasts": first.contrasts.sizes["contrast"], "data_sets": len(first.numbers), "r": R, "truths": truths}


def _record(out: Path, block: Block, figures: dict) -> None:
    """Put the figures of one study of one model into the record, with what they belong to."""
    record = read_record(out / RECORD)
    entry = {"model_sha256": model_hash(block.spec)} | origin(SEED, PACKAGES) | figures
    entries = record.get(block.model, {}) | {block.study: entry}
    record[block.model] = {study: entries[study] for study in STUDIES if study in entries}
    write_record(out / RECORD, record)
