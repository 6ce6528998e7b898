# Set-up lives in .venv: uv when it is on PATH, else the first Python >= 3.12 that really runs.
SHELL := /bin/bash
.PHONY: run test style reproduce calibrate clean

run: .venv/ready
	.venv/bin/gmfmsim run quickstart

test: .venv/ready
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

style: .venv/ready
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

# The shipped results: every experiment once more, into results/.
reproduce: .venv/ready
	for file in experiments/*.toml; do .venv/bin/gmfmsim run $$(basename $$file .toml) || exit 1; done

# The dated record of calibration in tests/validation/: hours on two cores.
calibrate: .venv/ready
	.venv/bin/gmfmsim calibrate --out tests/validation
	.venv/bin/gmfmsim type-one --out tests/validation

clean:
	rm -rf .venv

.venv/ready: pyproject.toml constraints.txt setup.sh
	bash setup.sh
	touch $@
