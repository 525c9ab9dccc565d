# make book    the demo study, the pages of the published study `real`, the book          make test   all tests
# make lab     the notebooks in JupyterLab                            make clean  what can be made again
# make figure  the README's figure, from a study that ran
# make notebooks  the notebooks' parameter cells, from params/base.yaml
# make publish what may be published of a run, from runs/ to results/: STUDY=real TASK=xnli VARIANT=base DATA_ROOT=~/data
# make prepare what fine-tuning and scoring need, in one folder, e.g. make prepare STUDY=real TASK=pawsx DATA_ROOT=~/data
# make bench   how fast, and beside other libraries (hours; THREADS=2 by default all cores)
# make study   a study of your own, e.g. make study STUDY=cpu TASK=pawsx DATA_ROOT=~/data SET="train_size=500 epochs=2"

PYTHON ?= python3.11
BIN := .venv/bin
# the study of the book's main pages: the published one, and the demo as long as there is none
STUDY ?= $(if $(wildcard results/real),real,demo)
TASK ?= xnli pawsx marc
VARIANT ?= base
DATA_ROOT ?=
SET ?=
CORES ?= all
.DEFAULT_GOAL := book
.PHONY: book html figure publish test lab study prepare notebooks bench clean

# Python 3.11 or later, under whatever name it has here
BASE_PYTHON = $(shell for p in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
  $$p -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(BASE_PYTHON)" || { echo "make: Python 3.11 or later is needed; set PYTHON=/path/to/python"; exit 1; }
	@echo "Setting up .venv from requirements.lock (2 GB, a few minutes the first time) ..."
	$(BASE_PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

SNAKE = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake --profile profiles/local --cores $(CORES)
DATA = $(if $(DATA_ROOT),data_root="$(abspath $(DATA_ROOT))")
CHOICE = study="$(STUDY)" tasks="$(TASK)" variant="$(VARIANT)" $(DATA) $(SET)
# Where the book's main study lies: published in results/, or computed here in runs/
ROOT = $(if $(wildcard results/$(STUDY)),results,runs)

book: .venv/installed
	$(SNAKE) --config study=demo once=
	$(SNAKE) --config study="$(STUDY)" runs_root=$(ROOT) $(DATA) $(SET)
	$(MAKE) --no-print-directory html

html:
	$(BIN)/python -m xl_influence.pages --study "$(STUDY)" --runs-root $(ROOT)
	$(BIN)/jupyter-book build . -n -W --keep-going
	@echo "The book: $(CURDIR)/_build/html/index.html"

figure:
	cp $(ROOT)/$(STUDY)/xnli/$(VARIANT)/answer.svg book/answer.svg

publish: .venv/installed
	for task in $(TASK); do $(BIN)/python -m xl_influence.publish study="$(STUDY)" task=$$task variant="$(VARIANT)" $(DATA) || exit 1; done

study: .venv/installed
	$(SNAKE) --config $(CHOICE)

prepare: .venv/installed
	@for task in $(TASK); do $(BIN)/python -m xl_influence.prepare study="$(STUDY)" task=$$task \
	  $(if $(DATA_ROOT),data_root="$(abspath $(DATA_ROOT))") $(SET) || exit 1; done

test: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest

benchmarks/.venv/installed: benchmarks/requirements.txt benchmarks/requirements-nodeps.txt
	@echo "Setting up benchmarks/.venv with the libraries to compare with ..."
	$(BASE_PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --disable-pip-version-check -r benchmarks/requirements.txt
	benchmarks/.venv/bin/python -m pip install --disable-pip-version-check --no-deps -r benchmarks/requirements-nodeps.txt
	@touch $@

bench: .venv/installed benchmarks/.venv/installed
	benchmarks/.venv/bin/python benchmarks/run.py $(if $(THREADS),--threads $(THREADS)) $(BENCH)
	$(BIN)/python -m xl_influence.notebook 11-how-fast study="$(STUDY)"

notebooks: .venv/installed
	$(BIN)/python -m xl_influence.notebook_cells

lab: .venv/installed
	$(BIN)/jupyter lab --notebook-dir=notebooks

clean:
	rm -rf _build runs prepared book/runs .snakemake .pytest_cache .ruff_cache
