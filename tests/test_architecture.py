"""Imports point one way, and what is not needed at start-up is not imported."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gmfmsim

PACKAGE = Path(gmfmsim.__file__).parent
LAYERS = ["base", "evidence", "model", "trial", "experiment", "report", "doors"]
BASE = {"algebra", "arguments", "faults", "streams", "spec", "shipped", "progress", "store"}
DOORS = {
    "benchmark",
    "calibration",
    "fitting",
    "replication",
    "scaffold",
    "pipeline",
    "lookup",
    "type_one",
    "cli",
    "__main__",
}


def layer(module: str) -> str:
    """Return the layer of a module of the package: its room, or the layer of a file that stands in none."""
    room = module.split(".")[1] if "." in module else ""
    if room in BASE or not room:
        return "base"
    return "doors" if room in DOORS else "experiment" if room in ("plan", "past", "sensitivity") else room


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules() -> dict[str, set[str]]:
    return {
        "gmfmsim." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts): imports(path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    }


def test_imports_point_one_way():
    files = modules()
    links = [(module, used) for module, names in files.items() for used in names & set(files)]
    wrong = [f"{a} imports {b}" for a, b in links if LAYERS.index(layer(b)) > LAYERS.index(layer(a))]
    assert len(links) > 30
    assert wrong == []


OFF_THE_PATH = {
    "gmfmsim.proof.fits",
    "gmfmsim.evidence.formulas.multilevel",
    "gmfmsim.model.curve_fit",
    "gmfmsim.model.exact.batch",
    "gmfmsim.model.priors.ess",
    "gmfmsim.model.responders",
    "gmfmsim.trial.dose_power",
    "gmfmsim.trial.tally",
}
"""Modules whose figures reach no result, or are whole numbers: their sums may be added up in any order."""

DECIDED = {"eigvalsh", "matrix_rank"}
"""What a library of linear algebra may be asked on the way to a file: yes or no."""


def products(path: Path) -> set[str]:
    """Return the lines of a module on which a library of linear algebra adds up."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        named = node.attr if isinstance(node, ast.Attribute) else ""
        of = ast.unparse(node.value) if named else ""
        if (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)) or (
            (of in ("np.linalg", "linalg") and named not in DECIDED)
            or (of == "np" and named in ("dot", "tensordot", "matmul", "inner"))
            or (of == "special" and named.startswith("roots_"))
        ):
            found.add(f"{path.name}:{node.lineno}")
    return found


def test_what_reaches_a_file_adds_up_in_a_fixed_order():
    """Matrix products of a library hang on its threads and on the processor: `algebra` has those that do not."""
    paths = {"gmfmsim." + ".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
    assert paths.keys() >= OFF_THE_PATH
    assert all(products(paths[name]) for name in OFF_THE_PATH)
    assert set().union(*(products(path) for name, path in paths.items() if name not in OFF_THE_PATH)) == set()


def test_every_module_has_a_layer():
    assert {layer(m) for m in modules()} == set(LAYERS)


def test_the_trial_never_imports_pymc():
    wrong = [m for m, names in modules().items() if layer(m) == "trial" and any(n.startswith("pymc") for n in names)]
    assert wrong == []
    code = "import sys, gmfmsim.trial.size; sys.exit('pymc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("code", ["import gmfmsim.cli", "import gmfmsim.answer.run", "import gmfmsim; gmfmsim.list()"])
def test_slow_packages_are_imported_only_where_used(code):
    code += "; import sys; sys.exit(' '.join({'pymc', 'arviz', 'matplotlib', 'nutpie'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_help_is_quick():
    """Under 0.4 s; on a machine where bare NumPy takes longer to import than it should (0.1 s), in proportion."""

    def fastest(command: list[str]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert fastest(["-m", "gmfmsim", "--help"]) < 0.4 * max(1, fastest(["-c", "import numpy"]) / 0.15)
