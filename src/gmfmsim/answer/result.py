"""The result of a run as a value that goes to its folder and back."""

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
import xarray as xr

from gmfmsim import DISCLAIMER, __version__
from gmfmsim.evidence.read import copy_tables
from gmfmsim.faults import Fault, InputError
from gmfmsim.files import store
from gmfmsim.question.question import METHOD, Question

PACKAGES = ("numpy", "scipy", "xarray", "pymc", "pytensor", "nutpie", "arviz", "matplotlib", "netCDF4", "pydantic")

type Datasets = dict[str, xr.Dataset | xr.DataTree]
"""Labelled data by the names of their files."""

type Draw = Callable[..., object]
"""What draws a result, given to it: it adds figures and a page to the folder, and computes nothing. advance: Steps, of
figures."""


@dataclass(frozen=True, repr=False)
class Result:
    """The answer as in answer.json, and the folder with everything else.

    reused: whether it was there, from an earlier run with the same key; written: datasets that were just written, so
    that they need not be read.
    """

    answer: dict[str, Any]
    folder: Path
    reused: bool = False
    written: Datasets = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path) -> "Result":
        """Read the result in a folder. Raises InputError if there is none."""
        file = Path(folder) / "answer.json"
        try:
            answer = json.loads(file.read_text(encoding="utf-8"))
            good = isinstance(answer, dict) and {"experiment", "key", "kind"} <= answer.keys()
        except (OSError, ValueError):
            good = False
        if not good:
            allowed = "a folder results/<experiment>/<key>/ that a run has written"
            raise InputError([Fault(str(folder), "answer.json", "is no result of this version", allowed)])
        return cls(answer, Path(folder), reused=True)

    @property
    def kind(self) -> str:
        """What was asked: plans, past, rerun, claim, safety or compared."""
        return str(self.answer["kind"])

    @property
    def plans(self) -> list[tuple[dict[str, Any], Path]]:
        """The answer of each plan, and the folder of its files; the first gives the answer."""
        others = [(a, self.folder / "alternatives" / a["slug"]) for a in self.answer.get("alternatives", [])]
        return [(self.answer, self.folder), *others]

    @property
    def report(self) -> Path:
        """The self-contained page."""
        return self.folder / "report.html"

    @property
    def surface(self) -> xr.Dataset:
        """Success in every scenario over n (scenario, n, analysis), of the first plan."""
        return self.data("surface")

    @property
    def posterior(self) -> xr.DataTree:
        """The posterior of the first plan; of several models the one with the largest share."""
        models = self.answer["models"]
        leading = max(range(len(models)), key=lambda i: models[i]["share"])
        several = f"posterior-{leading + 1}-{Path(models[leading]['name']).stem}"
        return xr.open_datatree(self._file(several if len(models) > 1 else "posterior"))

    def data(self, name: str, plan: int = 0) -> xr.Dataset:
        """Return a labelled dataset that stands beside the answer of a plan: surface, effect, contrasts, ...

        Raises InputError with what there is, if there is none of that name.
        """
        file = self._file(name, plan)
        found = self.written.get(str(file.relative_to(self.folder)))
        if isinstance(found, xr.Dataset):
            return found
        with xr.open_dataset(file) as data:
            return data.load()

    def has(self, name: str, plan: int = 0) -> bool:
        """Return whether a dataset stands beside the answer of a plan."""
        return (self.plans[plan][1] / f"{name}.nc").is_file()

    def _file(self, name: str, plan: int = 0) -> Path:
        place = self.plans[plan][1]
        if not self.has(name, plan):
            there = ", ".join(sorted(p.stem for p in place.glob("*.nc"))) or "none: run the experiment again"
            raise InputError([Fault(str(place), f"{name}.nc", "does not exist", there)])
        return place / f"{name}.nc"

    def __repr__(self) -> str:
        return f"<Result {self.answer['experiment']}/{self.answer['key']}: {self.answer['sentence'][:200]}>"

    def _repr_html_(self) -> str:
        from html import escape

        answer = self.answer
        head = f"<strong>{escape(answer['experiment'])}</strong> {escape(answer['question'])}"
        return f"<p>{head}</p><p>{escape(answer['sentence'])}</p><p><em>{escape(DISCLAIMER)}</em></p>"


@dataclass(frozen=True)
class Outcome:
    """What an experiment came to, before it is written: answer.json without its head, datasets by file name, and what
    the manifest says more."""

    answer: dict[str, Any]
    datasets: Datasets
    manifest: dict[str, Any]


class Head(NamedTuple):
    """What every result says first, as in answer.json, and the configuration that it is of."""

    experiment: str
    key: str
    kind: str
    question: str
    config: dict[str, Any]


def write(head: Head, outcome: Outcome, draft: Path, draw: Draw, seconds: float) -> None:
    """Write everything of a result into the draft folder: configuration, answer, data, page, manifest."""
    (draft / "config.toml").write_text(tomli_w.dumps(head.config), encoding="utf-8")
    said = {name: value for name, value in head._asdict().items() if name != "config"}
    answer = said | outcome.answer | {"disclaimer": DISCLAIMER}
    store.write_json(draft / "answer.json", answer)
    for name, data in outcome.datasets.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        data.to_netcdf(draft / name)
    draw(replace(Result.read(draft), written=outcome.datasets))
    provenance = {
        "experiment": head.experiment,
        "key": head.key,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "gmfmsim": __version__,
        "method": METHOD,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "seconds": round(seconds, 3),
    }
    store.write_manifest(draft, provenance | outcome.manifest)


def copy_own_inputs(question: Question, draft: Path) -> None:
    """Copy a user's own tables and models, so that the result can be run again wherever it goes."""
    of: tuple[Any, ...] = question.plans or (question.asked,)  # plans, or what has none
    for copy, tables in {copy: tables for p in of for copy, tables in p.tables_copies.items()}.items():
        copy_tables(tables, draft / copy)
    for prepared in of:
        for name, copy in prepared.model_copies.items():
            (draft / copy).parent.mkdir(exist_ok=True)
            shutil.copyfile(prepared.model_files[name], draft / copy)
