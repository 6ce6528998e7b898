"""experiments/*.toml: a header, and what is asked: plans, trials of the past again, a review rerun, a claim, adverse
events, or who gains most."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from gmfmsim.faults import Fault, InputError, shown
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import Spec, key, parse, read_toml
from gmfmsim.question.changed import LONGEST, PLACE, asked_anew
from gmfmsim.question.evidence import Sources
from gmfmsim.question.past import Past, read_past
from gmfmsim.question.plan import Prepared
from gmfmsim.question.plans import Plans, read_plans

if TYPE_CHECKING:
    from gmfmsim.question.claim import Claim
    from gmfmsim.question.rerun import Rerun
    from gmfmsim.question.safety import Safety
    from gmfmsim.question.who import Who

METHOD = 5
"""Version of the method. Raise it when the same config must give other numbers; it is part of every key."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")

BASE = "quickstart_one_mean"
"""The experiment that asks of a design where none names it."""

MOST_CHILDREN = 4_000
"""Children per arm up to which a design is tried where no experiment says: children are drawn one by one."""


class Header(Spec):
    """What every experiment file says."""

    name: (
        Annotated[
            str,
            key(
                "name of its results folder, by default that of the file",
                example="my_trial",
                pattern=f"^{NAME.pattern}$",
            ),
        ]
        | None
    ) = None
    question: Annotated[
        str, key("what is asked, in words", example="How many children?", min_length=1, max_length=LONGEST)
    ]


@dataclass(frozen=True)
class Question:
    """A question and what is asked to answer it, checked and ready to run."""

    name: str
    text: str
    asked: "Plans | Past | Rerun | Claim | Safety | Who"

    @property
    def plans(self) -> tuple[Prepared, ...]:
        """The plans, the first of which gives the answer; none of a rerun, a claim or adverse events."""
        return self.asked.plans

    @property
    def without_plans(self) -> tuple[str, str]:
        """The section of what has no plans, and what it is in words."""
        section, what = getattr(self.asked, "words", ("plans", "the question"))
        return f"key {section}", what

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration: every default written out. Running it again gives the same key."""
        return {"name": self.name, "question": self.text} | self.asked.config

    @property
    def key(self) -> str:
        """Hash of configuration, evidence, models and version of the method: the name of the results folder."""
        text = json.dumps([METHOD, self.name, self.text, self.asked.identity], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_question(source: str | Path | Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Question:
    """Read and check an experiment: a shipped name, the path of a .toml file, or what such a file holds.

    changes: values by key, "trial.dropout": 0.15, laid over it as an alternative is; the question says what they are.
    Paths in them are relative to the current folder, those in a file to the folder of the file. Nothing is fitted or
    simulated.
    Raises InputError with every fault of the file, of the tables and of the models and designs it uses.
    """
    if isinstance(source, Mapping):
        return question_from(asked_anew(dict(source), changes or {}), Path("experiment.toml"))
    path = find("experiments", source)
    return question_from(asked_anew(read_toml(path), changes or {}), path)


def read_question_or_design(
    source: str | Path | Mapping[str, Any], changes: Mapping[str, Any] | None = None
) -> Question:
    """Read an experiment as `read_question`, or where the name is that of a design, or the file declares one, as
    `question_of_design`."""
    if isinstance(source, Mapping):
        return read_question(source, changes)
    name = str(source)
    is_path = name.endswith(".toml") and os.path.isfile(name)  # false for names that no file can have
    of_design = "kind" in read_toml(Path(name)) if is_path else name in names("designs")
    return question_of_design(name, changes) if of_design else read_question(name, changes)


def question_of_design(name: str, changes: Mapping[str, Any] | None = None) -> Question:
    """Return the experiment that asks of a design (a shipped name, or the path of a .toml file) what BASE asks.

    Evidence, model, target and seed are those of the shipped experiment BASE; the exact engine alone fits the model.
    changes: of these, of the design ("trial.dropout") or of its one analysis, as in `read_question`.

    Raises InputError with every fault of the design and of the changes.
    """
    design, changes = find("designs", name), changes or {}
    if "trial.design" in changes:
        problem = f"{shown(changes['trial.design'])} stands beside the design that is simulated"
        raise InputError([Fault(PLACE, "key trial.design", problem, f"one of them: {name}")])
    raw = read_toml(find("experiments", BASE))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", design.stem)[:50]
    own = {
        "name": f"design-{stem}",
        "question": f"What does the design {stem} show, and how many children does it need?",
        "sampler": {"cross_check": False} | raw.get("sampler", {}),
        "search": {k: v for k, v in raw["search"].items() if k != "replicates"} | {"max_n_per_arm": MOST_CHILDREN},
        "trial": {"design": name},
    }
    whole = {k: v for k, v in raw.items() if k != "analysis"} | own
    return question_from(asked_anew(whole, changes), Path(f"design-{stem}.toml"))


def question_from(raw: dict[str, Any], path: Path) -> Question:
    """Check what an experiment file holds; paths in it are relative to the folder of `path`.

    Raises InputError with every fault, as `read_question`.
    """
    if "replication" in raw:
        problem = "the section is called rerun: a review computed again"
        raise InputError([Fault(path.name, "key replication", problem, "[rerun], [[rerun.checks]]")])
    header, faults = parse(Header, {k: raw[k] for k in Header.model_fields if k in raw}, path.name)
    name = raw.get("name", path.stem)
    if header and not (isinstance(name, str) and NAME.fullmatch(name)):
        problem = f"{shown(name)} cannot name a results folder"
        faults.append(Fault(path.name, "file name", problem, "letters, digits, _ and -, up to 61"))
    asked, found = _reader(raw)({k: v for k, v in raw.items() if k not in Header.model_fields}, Sources(path))
    if header is None or asked is None or faults or found:
        raise InputError([*faults, *found])
    return Question(str(name), header.question, asked)


def _reader(raw: dict[str, Any]) -> Callable[[dict[str, Any], Sources], tuple[Any, list[Fault]]]:
    """Return what reads a file, by the section that says what it asks; without one it asks for the n of plans."""
    if "past" in raw:
        return read_past
    if "rerun" in raw:
        from gmfmsim.question.rerun import read_rerun  # a grammar of its own: loaded only where a file has it

        return read_rerun
    if "claim" in raw:
        from gmfmsim.question.claim import read_claim  # likewise

        return read_claim
    if "safety" in raw:
        from gmfmsim.question.safety import read_safety  # likewise

        return read_safety
    if "who" in raw:
        from gmfmsim.question.who import read_who  # likewise

        return read_who
    return read_plans


def checked(question: Question) -> dict[str, Any]:
    """Return what a run of an experiment would do: its plans with their contrasts, the checks of a review, the reports
    that a claim is held to, or the events."""
    from gmfmsim.question.claim import Claim
    from gmfmsim.question.rerun import Rerun
    from gmfmsim.question.safety import Safety

    head = {"experiment": question.name, "key": question.key, "question": question.text}
    found: dict[str, Any] = head | {"plans": []}
    if isinstance(question.asked, Rerun):
        found["checks"] = [{"kind": r.kind, "title": r.title} for r in question.asked.results]
    if isinstance(question.asked, Claim):
        found["checks"] = [{"kind": r.use, "title": f"{r.study}, {r.definition}"} for r in question.asked.reports]
    if isinstance(question.asked, Safety):
        found["checks"] = [{"kind": c.event, "title": c.in_words} for c in question.asked.counts]
    found["plans"] = [
        {
            "label": p.plan.label,
            "evidence": p.source,
            "contrasts": [] if p.contrasts is None else p.contrasts["contrast"].values.tolist(),
            "sources": p.places,
            "model": ", ".join(p.models) or "none",
            "target": p.plan.search.target.model_dump(),
            "dose_outside_evidence": p.dose_outside_evidence,
            "month_outside_evidence": p.month_outside_evidence,
            "notes": p.notes,
        }
        for p in question.plans
    ]
    return found | {"config": question.config}
