#!/usr/bin/env bash
# Make .venv and install gmfmsim with what its tests need, at the versions of constraints.txt.
set -euo pipefail
cd "$(dirname "$0")"
works='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))'

# A name on PATH proves nothing (pyenv's shims fail for versions that are not selected): each candidate has to run.
find_python() {
    local candidate
    for candidate in python3.13 python3.14 python3.12 python3 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do
        if "$candidate" -c "$works" >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

.venv/bin/python -c "$works" >/dev/null 2>&1 || rm -rf .venv
if command -v uv >/dev/null 2>&1; then
    # uv brings a Python of its own if it finds none that it can use.
    [ -d .venv ] || uv venv --quiet --python "$(find_python || echo '>=3.12')" .venv
    uv pip install --quiet --python .venv/bin/python --constraint constraints.txt --editable . --group test
else
    python=$(find_python) || {
        echo "gmfmsim needs Python 3.12 or newer with venv, or uv: install one, for example with 'pyenv install 3.13', and run make again" >&2
        exit 1
    }
    .venv/bin/python -m pip --version >/dev/null 2>&1 || rm -rf .venv  # made by uv, or half made
    [ -d .venv ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade "pip>=25.1"
    .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable . --group test
fi
# So that the first question is quick too, and where Python is told to write no bytecode.
.venv/bin/python -m compileall -q src/gmfmsim
