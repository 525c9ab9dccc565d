# Using the book
#   make book      runs the demo and builds the book, with the published runs of the study `real`
#   make study     runs a study of your own: STUDY=cpu TASK=pawsx DATA_ROOT=~/data SET="epochs=2";
#                  on a cluster with PROFILE=slurm
#   make unlock    unlocks the folder after Snakemake was killed; arguments as for study
#   make lab       opens the notebooks in JupyterLab
#   make prepare   collects what a study needs in one folder: STUDY=real TASK=xnli DATA_ROOT=~/data
#   make publish   copies what may be published from runs/ to results/; arguments as for prepare
#   make bench     measures how fast the engine is, beside other libraries; hours; THREADS=2
#
# Changing it (see CONTRIBUTING.md)
#   make quick     the linter and the tests that need no study, no book and no browser; minutes
#   make test      the linter, the type checker and all tests but those on a cluster, minutes
#   make test-cluster  the study on a Slurm of one node, if it is installed
#   make storm     bad inputs, and 50 kills spread over all steps of a tiny study; STORM="--seed 1"
#   make format    formats the code and fixes what the linter can fix
#   make house     counts of style and structure, at an early revision and now
#   make notebooks rewrites the notebooks' parameter cells, from params/base.yaml, and captions
#   make clean     removes everything that can be rebuilt

PYTHON ?= python3.11
BIN := .venv/bin
# the study on the book's main pages: the published one or, as long as there is none, the demo
STUDY ?= $(if $(wildcard results/real/*/base/influence.zarr),real,demo)
TASK ?= xnli pawsx marc
VARIANT ?= base
DATA_ROOT ?=
SET ?=
CORES ?= all
.DEFAULT_GOAL := book
.PHONY: book html publish quick test test-cluster storm lint format house help lab notebooks study \
  unlock prepare bench clean

# Python 3.11 or later, under whatever name it has here
BASE_PYTHON = $(shell for p in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
  $$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $$p && break; done)

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(BASE_PYTHON)" || \
	  { echo "make: Python 3.11 or later is needed; set PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up .venv from requirements.lock (2 GB, a few minutes the first time) ..."
	$(BASE_PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The folder in profiles/ that says where jobs run: local, or slurm for a cluster
PROFILE ?= local
SNAKEMAKE = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake --profile profiles
SNAKE = $(SNAKEMAKE)/local --cores $(CORES)
# spaces and ~ in DATA_ROOT are left to Python; lists in SET may have spaces around their commas, or
# in place of them, unless SET has quotes
comma := ,
empty :=
CLOSE = $(subst $(empty) $(comma),$(comma),$(subst $(comma)$(empty) ,$(comma),$(SET)))
JOINED = $(foreach word,$(CLOSE),$(if $(findstring =,$(word)),,$(comma))$(word))
SETTINGS = $(if $(findstring ',$(SET))$(findstring ",$(SET)),$(CLOSE),$(call JOIN,$(JOINED)))
JOIN = $(subst $(empty) $(comma),$(comma),$(1))
DATA = $(if $(DATA_ROOT),data_root="$(DATA_ROOT)")
CHOICE = study="$(STUDY)" tasks="$(TASK)" variant="$(VARIANT)" $(DATA) $(SETTINGS)
# Where the book's main study lies: published in results/, or computed here in runs/
ROOT = $(if $(wildcard results/$(STUDY)/*/base/influence.zarr),results,runs)

book: .venv/installed
	$(SNAKE) --config study=demo once=
	$(SNAKE) --config study="$(STUDY)" runs_root=$(ROOT) $(DATA) $(SETTINGS)
	$(MAKE) --no-print-directory html

html:
	$(BIN)/python -m xl_influence.pages --study "$(STUDY)" --runs-root $(ROOT)
	$(BIN)/jupyter-book build . -n -W --keep-going
	@echo "The book: $(CURDIR)/_build/html/index.html"

publish: .venv/installed
	for task in $(TASK); do $(BIN)/python -m xl_influence.publish study="$(STUDY)" task=$$task \
	  variant="$(VARIANT)" $(DATA) || exit 1; done

study: .venv/installed
	$(SNAKEMAKE)/$(PROFILE) $(if $(filter local,$(PROFILE)),--cores $(CORES)) --config $(CHOICE)

# After a Snakemake that was killed
unlock: .venv/installed
	$(SNAKE) --unlock --config $(CHOICE)

prepare: .venv/installed
	@for task in $(TASK); do $(BIN)/python -m xl_influence.prepare study="$(STUDY)" task=$$task \
	  $(DATA) $(SETTINGS) || exit 1; done

# Processes of `make test`. What they share, the smoke study and the book, is made once.
WORKERS ?= 2
# Tests without a marker need no study, no book, no browser, no GPU and no data (pyproject.toml)
FAST = not (slow or book or browser or gpu or data or cluster)

quick: export OMP_NUM_THREADS = 1
quick: lint
	$(BIN)/python -m pytest -q -m "$(FAST)" -n $(WORKERS) --dist loadfile

test: export OMP_NUM_THREADS = 1
test: lint
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not cluster" -n $(WORKERS) --dist loadfile --durations=25

test-cluster: .venv/installed
	$(BIN)/python -m pytest -m cluster

storm: .venv/installed
	$(BIN)/python -m pytest -q tests/test_bad_inputs.py
	$(BIN)/python tools/storm.py $(STORM)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# An early revision, and the working tree; or REVISIONS="main HEAD ."
REVISIONS ?= a075fc6 .
house: .venv/installed
	$(BIN)/python tools/house.py $(REVISIONS)

benchmarks/.venv/installed: benchmarks/requirements.txt benchmarks/requirements-nodeps.txt
	@echo "Setting up benchmarks/.venv with the libraries to compare with ..."
	$(BASE_PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --disable-pip-version-check \
	  -r benchmarks/requirements.txt
	benchmarks/.venv/bin/python -m pip install --disable-pip-version-check --no-deps \
	  -r benchmarks/requirements-nodeps.txt
	@touch $@

bench: .venv/installed benchmarks/.venv/installed
	benchmarks/.venv/bin/python benchmarks/run.py $(if $(THREADS),--threads $(THREADS)) $(BENCH)
	$(BIN)/python -m xl_influence.notebook 11-how-fast study="$(STUDY)"

notebooks: .venv/installed
	$(BIN)/python -m xl_influence.notebook_cells

lab: .venv/installed
	$(BIN)/jupyter lab --notebook-dir=notebooks

help:
	@sed -n '/^PYTHON/q; s/^# \{0,1\}//p' Makefile

clean:
	rm -rf _build runs prepared book/runs .snakemake .pytest_cache .ruff_cache .mypy_cache
