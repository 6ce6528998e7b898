"""What a stranger gets: the wheel, the pins, the make targets."""

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel with the installed build backend, so that no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"import hatchling.build as b; print(b.build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return folder / done.stdout.split()[-1]


def test_the_wheel_carries_tables_models_experiments_and_page(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("models", "experiments", "designs", "children"):
        files = {f"gmfmsim/{folder}/{p.name}" for p in (ROOT / folder).glob("*.toml")}
        assert len(files) >= 3
        assert files <= names
    tables = {n for n in names if n.startswith("gmfmsim/evidence/tables/") and n.endswith(".csv")}
    assert len(tables) == 14
    assert "gmfmsim/report/page.html.j2" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)


CASES = ROOT / "tests" / "cases"
"""tiny.toml goes the whole way, sampling included; published.toml asks for n from a published estimate alone."""


def run_apart(plan: str, folder: Path, **environment: str) -> Path:
    """Run a plan in a process of its own, in an empty folder; return the folder of its result."""
    folder.mkdir()
    run = [sys.executable, "-m", "gmfmsim", "run", str(CASES / f"{plan}.toml"), "--json"]
    options = {"cwd": folder, "env": os.environ | environment, "check": True, "capture_output": True, "text": True}
    return folder / json.loads(subprocess.run(run, **options).stdout)["folder"]


def bits(folder: Path) -> dict[str, str]:
    """Return the hash of every file but the manifest, which holds times."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "manifest.json"]
    return {str(p.relative_to(folder)): sha256(p) for p in files}


def test_the_installed_wheel_lists_and_checks_in_an_empty_folder(wheel, tmp_path):
    """The wheel alone, away from the source tree, in one process."""
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = """
import contextlib, sys
import gmfmsim
from gmfmsim.cli import main
print(gmfmsim.__file__)
for sys.argv in (["gmfmsim", "list"], ["gmfmsim", "check", "quickstart"]):
    with contextlib.suppress(SystemExit):
        main()
"""
    environment = os.environ | {"PYTHONPATH": str(site), "GMFMSIM_CACHE": ""}
    said = subprocess.check_output([sys.executable, "-c", code], cwd=empty, env=environment, text=True)
    assert said.startswith(str(site))
    assert all(path.stem in said for folder in ("experiments", "designs") for path in (ROOT / folder).glob("*.toml"))
    assert "quickstart is valid" in said
    assert list(empty.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["published", "tiny"])
def test_the_installed_wheel_gives_the_same_bytes_in_an_empty_folder(wheel, tmp_path, plan):
    """The wheel alone, away from the source tree: one core, one thread, another hash seed, nothing compiled before; and
    OpenBLAS as for a processor of 2008, which adds up in another order (where the machine has no such, as ever)."""
    first = bits(run_apart(plan, tmp_path / "first", OMP_NUM_THREADS="2"))
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    environment = {"PYTHONPATH": str(site), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1", "GMFMSIM_CACHE": ""}
    environment |= {"OPENBLAS_CORETYPE": "Nehalem", "PYTENSOR_FLAGS": f"base_compiledir={tmp_path / 'compiled'}"}
    where = [sys.executable, "-c", "import gmfmsim; print(gmfmsim.__file__)"]
    found = subprocess.check_output(where, cwd=tmp_path, env=os.environ | environment, text=True)
    assert found.startswith(str(site))
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        again = run_apart(plan, tmp_path / "empty", **environment)
    finally:
        os.sched_setaffinity(0, cores)
    models = json.loads((again / "answer.json").read_text(encoding="utf-8"))["models"]
    assert any(model["engines_apart_mcse"] is not None for model in models) == (plan == "tiny")  # sampled too
    assert {"answer.json", "surface.nc", "posterior.nc", "config.toml", "report.html"} <= first.keys()
    assert bits(again) == first


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_constraints_pin_versions_and_name_no_index():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 40
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    assert "://" not in "".join(lines)


def test_every_dependency_is_pinned():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["test"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    for requirement in wanted:
        assert f"\n{re.split('[>=<]', requirement)[0].lower()}==" in pins, requirement


def test_the_python_version_file_names_a_supported_version():
    assert (ROOT / ".python-version").read_text(encoding="utf-8").strip() == "3.13"


def test_no_lock_file_and_no_index_in_the_tree():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {"uv.lock", "poetry.lock", "pylock.toml"} & set(listed)


def stub(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


def test_set_up_skips_a_python_that_does_not_run_and_says_what_is_missing(tmp_path):
    """Like pyenv's shims for versions that are not selected: on PATH, and failing."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for name in ("python", "python3", "python3.12", "python3.13", "python3.14"):
        stub(binaries, name, "exit 127")
    for name in ("bash", "dirname", "rm", "touch"):
        (binaries / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "setup.sh").write_bytes((ROOT / "setup.sh").read_bytes())
    environment = {"PATH": str(binaries), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "setup.sh"], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Python 3.12 or newer" in done.stderr
    assert not (project / ".venv").exists()
