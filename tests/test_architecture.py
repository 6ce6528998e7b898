"""Imports point one way, and what is not needed at start-up is not imported."""

import ast
import os
import re
import subprocess
import sys
import time
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gmfmsim

PACKAGE = Path(gmfmsim.__file__).parent
ROOT = Path(__file__).parents[1]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("gmfmsim", *(part for part in parts if part != "__init__")))


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> set[str]:
    """The names that a module imports, wherever in it, and whatever they are."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@cache
def uses(module: str) -> set[str]:
    """The modules of the package that a module imports; of a room its own file only where nothing more is named."""
    names = imports(PATHS[module]) & PATHS.keys() - {module, "gmfmsim"}
    return {n for n in names if not (n in ROOMS and any(m.startswith(f"{n}.") for m in names))}


ROOMS = {name_of(path) for path in PACKAGE.rglob("__init__.py")}
GROUND = "faults, streams, progress"


def room(module: str) -> str:
    """The folder of a module; the files of the root are the ground, but for the door."""
    parts = module.split(".")
    if parts[1] in ("cli", "__main__"):
        return "cli"
    return parts[1] if (PACKAGE / parts[1]).is_dir() else GROUND


def order_in_readme() -> list[str]:
    """The rooms as the map of the README lists them, the way of the data from the first line to the last."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    map_of_rooms = text[text.index("src/gmfmsim/\n") :]
    return re.findall(r"^  ([a-z]+)/ ", map_of_rooms[: map_of_rooms.index("```")], flags=re.MULTILINE)


def test_imports_point_one_way_through_the_rooms():
    """Each room uses only what stands before it in the map, and the map has every folder."""
    order = [GROUND, *order_in_readme(), "cli"]
    assert sorted(order[1:-1]) == sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__")
    links = {(m, used) for m in PATHS if m != "gmfmsim" for used in uses(m)}
    assert len(links) > 300
    assert [f"{a} imports {b}" for a, b in sorted(links) if order.index(room(b)) > order.index(room(a))] == []


def test_no_modules_import_each_other():
    """In a circle of imports it hangs on the first one which of them is whole. Imports inside functions count too, and
    what stands in the folders of a module, which are loaded before it."""

    def loaded(module: str) -> set[str]:
        named = uses(module)
        folders = {f for f in ROOMS for n in named if n.startswith(f"{f}.") and not f"{module}.".startswith(f"{f}.")}
        return (named | folders) - {module, "gmfmsim"}

    TopologicalSorter({m: loaded(m) for m in PATHS if m != "gmfmsim"}).prepare()


def test_every_module_is_reached_from_a_command():
    reached, new = set(), {"gmfmsim.__main__", *imports(PATHS["gmfmsim"]) & PATHS.keys()}
    while new:
        reached |= new
        new = set().union(*(imports(PATHS[m]) & PATHS.keys() for m in new)) - reached
    rooms = {m for m in ROOMS if any(other.startswith(f"{m}.") for other in reached)}
    assert PATHS.keys() - reached - rooms == set()


def test_the_root_holds_the_ground_and_the_doors():
    assert {p.name for p in PACKAGE.glob("*.py")} == {
        *("__init__.py", "__main__.py", "cli.py", "faults.py", "streams.py", "progress.py"),
    }


def test_the_walk_of_an_effect_names_functions_of_the_code():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    walk = text[text.index("An effect goes its way without turning back") :].split("```")[1]
    steps = [line.split()[0] for line in walk.strip().splitlines()]
    assert len(steps) > 10
    for step in steps:
        module, _, name = f"gmfmsim.{step}".rpartition(".")
        defined = {n.name for n in tree(PATHS[module]).body if hasattr(n, "name")}
        assert name in defined, step


def test_a_kind_of_design_is_named_in_its_file_alone():
    """What a kind does differently it says itself: none asks which kind a design is."""
    kinds = {m for m in PATHS if m.startswith("gmfmsim.trial.kinds.")}
    assert len(kinds) == 6
    assert {m for m in PATHS if uses(m) & kinds} == {"gmfmsim.trial.designs"}


OFF_THE_PATH = {
    "gmfmsim.proof.fits",
    "gmfmsim.evidence.formulas.multilevel",
    "gmfmsim.model.curve_fit",
    "gmfmsim.model.exact.batch",
    "gmfmsim.trial.dose_power",
    "gmfmsim.trial.tally",
}
"""Modules whose figures reach no result, are whole numbers or are rounded: their sums may be added up in any order."""

DECIDED = {"eigvalsh", "matrix_rank"}
"""What a library of linear algebra may be asked on the way to a file: yes or no."""


def products(path: Path) -> set[str]:
    """Return the lines of a module on which a library of linear algebra adds up."""
    found = set()
    for node in ast.walk(tree(path)):
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
    assert PATHS.keys() >= OFF_THE_PATH
    assert all(products(PATHS[name]) for name in OFF_THE_PATH)
    assert set().union(*(products(path) for name, path in PATHS.items() if name not in OFF_THE_PATH)) == set()


def test_the_trial_never_imports_pymc():
    of_trial = [path for module, path in PATHS.items() if module.startswith("gmfmsim.trial")]
    assert [path for path in of_trial if any(n.startswith("pymc") for n in imports(path))] == []


def test_slow_packages_are_imported_only_where_used():
    """By one process, step by step: at the first step that imports one it stops and says what was imported."""
    code = "import sys\n"
    for step in (
        "import gmfmsim; gmfmsim.shipped()",
        "import gmfmsim.cli",
        "import gmfmsim.trial.size, gmfmsim.answer.run",
        "from gmfmsim.model import declare, describe",
        "describe.as_text(describe.describe(declare.read_model(declare.ModelChoice(name='emax')), graph=False))",
    ):
        code += f"{step}\nfound = {{'pymc', 'arviz', 'matplotlib', 'nutpie'}} & set(sys.modules)\n"
        code += f"if found: sys.exit({step!r} + f': {{found}}')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


ASKED = ("size --effect 3 --sd 5.5", "size quickstart_one_mean", "power --n 60 quickstart_one_mean")
HEAVY = {"xarray", "pandas", "pymc", "arviz", "matplotlib", "nutpie", "scipy.optimize", "scipy.stats"}


def test_a_question_in_one_line_imports_no_labels_and_fits_nothing(tmp_path):
    """Asked once more: of contrasts and models it remembers what it needs, and numbers alone go through the trial."""
    code = f"""
import sys
from gmfmsim import cli
for asked in {ASKED!r}:
    sys.argv = ["gmfmsim", *asked.split(), "--json"]
    try:
        cli.main()
    except SystemExit as done:
        assert not done.code, asked
print({HEAVY!r} & set(sys.modules), file=sys.stderr)
"""
    memory = os.environ | {"GMFMSIM_CACHE": str(tmp_path)}
    first, again = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=memory)
        for _ in range(2)
    )
    assert first.stdout.count('"n_total"') >= len(ASKED)
    assert again.stdout == first.stdout
    assert "xarray" in first.stderr
    assert again.stderr == "set()\n"


@pytest.mark.slow
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
