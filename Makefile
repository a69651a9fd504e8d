# Everything runs in .venv, made from pyproject.toml through constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs-installed
CONSTRAINTS ?= constraints.txt
DATA ?=
# One thread per process: two processes of two torch threads each crawl.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test test-all test-floors bench bench-accuracy docs notebooks audit lint format clean
help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[test]"
	touch $@

demo: $(INSTALLED)  ## accuracy against noise on real input; DATA=<folder> takes bearing records
	$(BIN)/python examples/demo.py $(if $(DATA),--data "$(DATA)")

lint: $(INSTALLED)  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, types, tests and doctests
	$(BIN)/pytest --numprocesses 2 -m "not slow and not network and not gpu"

test-all: lint  ## the slow tests as well
	$(BIN)/pytest --numprocesses 2 -m "not network"

test-floors:  ## the tests with the oldest versions that pyproject.toml admits
	$(PYTHON) tests/floors.py pyproject.toml constraints.txt > .floors.txt
	$(MAKE) test VENV=.venv-floors CONSTRAINTS=.floors.txt

bench: $(INSTALLED)  ## the benchmarks; tables are printed, figures written to benchmarks/results
	$(BIN)/python benchmarks/bench_soft_threshold.py
	$(BIN)/python benchmarks/bench_training.py
	$(BIN)/python benchmarks/bench_inspection.py
	$(BIN)/python benchmarks/bench_denoising.py
	$(BIN)/python benchmarks/bench_denoiser.py --only families --seeds 1

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable ".[test,docs]"
	touch $@

docs: $(DOCS_INSTALLED)  ## the site, in docs/_build/html; GALLERY=0 runs no example
	MPLBACKEND=agg $(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

notebooks: $(DOCS_INSTALLED)  ## four examples as notebooks, in examples/notebooks
	$(BIN)/python docs/notebooks.py examples/notebooks

# Fails where nothing can be looked up: pip-audit asks PyPI itself, which a mirror of it is not.
AUDIT_OFFLINE := audit: not done, nothing is known: it needs the public package index itself, which cannot be reached here
audit: $(INSTALLED)  ## known vulnerabilities of what is installed; needs the internet
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit || { echo "$(AUDIT_OFFLINE)" >&2; exit 2; }
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/+[a-z0-9.]*$$//' > .venv-audit/installed.txt
	@.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement .venv-audit/installed.txt \
		> .venv-audit/report.txt 2>&1; status=$$?; tail -n 50 .venv-audit/report.txt; \
	if grep -qiE "could not be audited|(proxy|connection|timeout)error" .venv-audit/report.txt; \
		then echo "$(AUDIT_OFFLINE)" >&2; exit 2; fi; exit $$status

# Competitors need an older NumPy, see benchmarks/constraints.txt.
.venv-benchmark/.installed: pyproject.toml benchmarks/constraints.txt
	$(PYTHON) -m venv .venv-benchmark
	.venv-benchmark/bin/python -m pip install --quiet --constraint benchmarks/constraints.txt --editable ".[benchmark]"
	touch $@

bench-accuracy: .venv-benchmark/.installed  ## accuracy against competitors, shrinkage, the paper, scaling; DATA=<folder>
	@test -n "$(DATA)" || { echo "expected DATA=<folder of the data folders>"; exit 2; }
	@status=0; for sweep in noise_robustness shrinkage paper; do \
		.venv-benchmark/bin/python benchmarks/bench_$$sweep.py --data "$(DATA)" || status=1; done; \
	.venv-benchmark/bin/python benchmarks/bench_scaling.py --full && exit $$status

format: $(INSTALLED)  ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the commands made
	rm -rf $(VENV) .venv-floors .venv-audit .venv-benchmark .floors.txt .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info examples/output examples/notebooks benchmarks/results docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
