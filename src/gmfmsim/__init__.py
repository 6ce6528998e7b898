"""gmfmsim: how many children does the next trial of cell treatment in cerebral palsy need?

It plans trials. It gives no advice on treatment. The verbs of the command line are functions here, and every step
between evidence and answer is a labelled object:

    import gmfmsim

    result = gmfmsim.run("quickstart")          result.answer, result.surface, result.posterior
    experiment = gmfmsim.load("quickstart")     experiment.contrasts(), .posterior(), .truths(), .surface(), .size()

Whatever a verb needs is imported when it is first called, so that importing the package stays quick.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmfmsim.faults import Fault, GateFailed, InputError, NotANumber
from gmfmsim.progress import READING, Silent

if TYPE_CHECKING:
    from gmfmsim.answer.experiment import Experiment
    from gmfmsim.answer.fit import FittedPlan
    from gmfmsim.answer.result import Result
    from gmfmsim.question.question import Question
    from gmfmsim.question.scaffold import new_evidence
    from gmfmsim.report.protocol.ask import protocol
    from gmfmsim.report.show import audit, shipped, show

    type Source = str | Path | Mapping[str, Any]

__version__ = "0.1.0"

DISCLAIMER = "gmfmsim plans trials. It gives no advice on treatment; no figure here says that a treatment works."

__all__ = [
    "DISCLAIMER",
    "Fault",
    "GateFailed",
    "InputError",
    "NotANumber",
    "__version__",
    "audit",
    "check",
    "compare",
    "doses",
    "draw",
    "fit",
    "load",
    "new_evidence",
    "power",
    "precision",
    "prior",
    "protocol",
    "run",
    "shipped",
    "show",
    "simulate",
    "size",
]


def load(source: "Source", changes: Mapping[str, Any] | None = None) -> "Experiment":
    """Read and check an experiment: a shipped name, the path of a .toml file, or what such a file holds.

    changes: values by key, {"trial.dropout": 0.15}, laid over what it says. Raises InputError with every fault.
    """
    from gmfmsim.answer.experiment import Experiment
    from gmfmsim.question.question import read_question

    return Experiment(read_question(source, changes))


def _question_of(source: "Source | Experiment") -> "Question":
    from gmfmsim.answer.experiment import Experiment

    return source.question if isinstance(source, Experiment) else load(source).question


def run(
    source: "Source | Experiment",
    results: str | Path = "results",
    *,
    force: bool = False,
    progress: Silent | None = None,
) -> "Result":
    """Run an experiment and return its result: fit, gate, truths, simulated trials, required n, figures and page.

    Writes results/<experiment>/<key>/; a complete result with the same key is returned as it stands, unless `force` has
    it computed again. Raises InputError for faults in the inputs and GateFailed if a posterior cannot be trusted; then
    nothing is written.
    """
    from gmfmsim.answer.run import run as answer
    from gmfmsim.report.draw import draw as drawn

    return answer(_question_of(source), Path(results), drawn, progress or Silent(), force=force)


def simulate(
    design: str,
    results: str | Path = "results",
    *,
    changes: Mapping[str, Any] | None = None,
    force: bool = False,
    progress: Silent | None = None,
) -> "Result":
    """Run a design (a shipped name or the path of a .toml file) on the evidence and one-mean model of the quick start.

    changes: as in `load`, of the design ({"trial.dropout": 0.2}) or of the experiment around it. Writes
    results/design-<name>/<key>/ with a page of the design: protocol, children, operating characteristics and required
    n. Raises as `run`.
    """
    with (progress or Silent()).steps(READING):
        from gmfmsim.answer.experiment import Experiment
        from gmfmsim.question.question import question_of_design

        experiment = Experiment(question_of_design(design, changes))
    return run(experiment, results, force=force, progress=progress)


def fit(source: "Source | Experiment", *, progress: Silent | None = None) -> "list[FittedPlan]":
    """Fit and check every model of an experiment; simulate no trial, write nothing.

    Raises InputError for faults in the inputs or where no plan has a model, and GateFailed if a posterior cannot be
    trusted.
    """
    from gmfmsim.answer.fit import fit as fit_models

    return fit_models(_question_of(source), progress or Silent())


def size(source: "Source | Experiment", *, what_moves: bool = False, progress: Silent | None = None) -> dict[str, Any]:
    """Return the required n of every plan of an experiment, exactly where that is possible; write nothing.

    With cost and duration, where a plan has [cost] and [recruitment]. what_moves: and the n under each changed
    assumption, largest change first, with the distributions behind n. Raises InputError for faults in the inputs or
    where there is no plan, and GateFailed if a posterior cannot be trusted.
    """
    from gmfmsim.answer.size import size as sizes

    return sizes(_question_of(source), what_moves, progress or Silent())


def power(source: "Source | Experiment", n: int, *, progress: Silent | None = None) -> dict[str, Any]:
    """Return what at most n children in all show in every plan of an experiment; write nothing.

    Power, assurance, plateau, detectable effect, and how far significant estimates err: see `answer.at_n`. Raises
    InputError for faults in the inputs, where there is no plan or n is too small, and GateFailed as `size`.
    """
    from gmfmsim.answer.at_n import at_n

    return at_n(_question_of(source), n, progress or Silent())


def precision(
    source: "Source | Experiment", *, width: float | None = None, n: int | None = None, progress: Silent | None = None
) -> dict[str, Any]:
    """Return how many children make the interval of the effect at most `width` points wide on average, or how wide it
    is with at most n children in all: of every plan of an experiment. Nothing is fitted or written.

    Raises InputError for faults in the inputs, where there is no plan, and for both questions or none.
    """
    from gmfmsim.answer.precision import precision as widths

    return widths(_question_of(source), width, n, progress or Silent())


def prior(
    source: "Source | Experiment",
    *,
    components: int = 4,
    robust: float | None = None,
    estimate: float | None = None,
    se: float | None = None,
    progress: Silent | None = None,
) -> dict[str, Any]:
    """Return what the evidence of every plan of an experiment says of its trial, as a prior; write nothing.

    components: normals that stand for it; robust: the weight of a vague one beside them; estimate and se: of a trial
    that is over, after which the prior is told anew. See `answer.as_prior`. Raises InputError for faults in the inputs
    or where there is no plan, and GateFailed as `size`.
    """
    from gmfmsim.answer.as_prior import as_prior

    asked = {"robust": robust, "estimate": estimate, "se": se}
    return as_prior(_question_of(source), asked, components, progress or Silent())


def doses(
    design: str | Path,
    effect: float,
    *,
    sd: float | None = None,
    power: float = 0.8,
    n: int | None = None,
    share: float = 0.9,
    data: str | Path | None = None,
) -> dict[str, Any]:
    """Return how a trial of several doses is planned by formula: contrasts, children, allocation; write nothing.

    design: a shipped one, or the path of a .toml file; data: a CSV file with the means of arms, to which curves are
    fitted. See `answer.doses.dose_finding`. Raises InputError for faults in the inputs.
    """
    from gmfmsim.answer.doses import dose_finding
    from gmfmsim.trial.presets import read_design

    return dose_finding(read_design(str(design)), effect, sd=sd, power=power, n=n, share=share, data=data)


def compare(
    *sources: "Source | Experiment | Result", results: str | Path = "results", progress: Silent | None = None
) -> "Result":
    """Compare the plans of experiments, designs and result folders, and return the comparison with its page.

    A result that is there is taken; of the others the required n, success over n and, of a design, false claims over
    settings of children are computed, no more. What a name stands for says `answer.asked`. Writes
    results/compared/<key>/. Raises InputError for faults in the inputs, or for fewer than two plans.
    """
    progress, asked = progress or Silent(), []
    with progress.steps(READING, len(sources)) as advance:
        from gmfmsim.answer.asked import asked_of
        from gmfmsim.answer.compare import compare as side_by_side
        from gmfmsim.report.draw import draw as drawn

        for source in sources:
            asked.append(asked_of(source))
            advance()
    return side_by_side(asked, Path(results), drawn, progress)


def check(source: "Source | Experiment") -> dict[str, Any]:
    """Validate an experiment with its tables, models and designs, compute nothing, and say what a run would do.

    Raises InputError with every fault.
    """
    from gmfmsim.question.question import checked

    return checked(_question_of(source))


def draw(folder: str | Path) -> Path:
    """Draw figures and page of a result folder again, from what stands in it, and return the page.

    A result that was complete stays so: its manifest then has the hashes of what was drawn.

    Raises InputError if the folder holds no result, or not its data.
    """
    from gmfmsim.answer.result import Result
    from gmfmsim.files import store
    from gmfmsim.report.draw import draw as drawn

    whole = store.is_complete(Path(folder))
    page = drawn(Result.read(folder))
    if whole:
        store.rehash(Path(folder))
    return page


_ELSEWHERE = dict.fromkeys(("audit", "shipped", "show"), "report.show") | {
    "new_evidence": "question.scaffold",
    "protocol": "report.protocol.ask",
}
"""Verbs that stand where their work is done, by module."""


def __getattr__(name: str) -> Any:
    if name not in _ELSEWHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gmfmsim.{_ELSEWHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
