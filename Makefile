# Every target makes its own environment first: Python 3.11+ with venv is all that has to be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_OUT ?= demo-out
PROSE := docs imgprep notebooks data/README.md $(wildcard *.md)
# Begun first: with one file per process, a long one at the end would leave the other core idle.
LONGEST := tests/wire/test_upload.py tests/wire/test_weeks.py
WIRE := $(filter-out $(LONGEST),$(wildcard tests/wire/test_*.py))
# With it, each of the several hundred processes that tests start would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo lab test check browser proof docs links bench fuzz lock clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imgprep needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY)  ## the whole path on the demo catalogue and a sandbox; leaves an HTML report and the run folder
	$(BIN)/imgprep demo --out $(DEMO_OUT)

lab: $(READY)  ## open JupyterLab on a page that says which notebook is for what
	JUPYTER_CONFIG_PATH=notebooks/.jupyter $(BIN)/jupyter lab --notebook-dir=notebooks --LabApp.default_url=/lab/tree/START.md

check: $(READY)  ## the fast part of the tests: lint, types, unit and property tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/unit tests/property

browser: $(READY)  ## find or install a Chromium for the browser tests
	$(BIN)/python tests/browser/chromium.py

test: check browser  ## everything CI runs
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -p tests.light -p tests.kernels -p nbval.plugin --nbval $(LONGEST) tests/notebooks tests/browser notebooks tests/site $(WIRE)

proof: $(READY)  ## all cases of the long proofs, of which the tests run a sample
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'proof or hypothesis' --hypothesis-profile=proof tests/proof tests/unit tests/property tests/wire

docs: $(READY)  ## build the site into docs/_build; broken links and misspelt words fail
	$(BIN)/codespell $(PROSE)
	$(BIN)/sphinx-build -W -n -q -b html docs docs/_build/html

links: $(READY)  ## request every external link of the site (needs a network)
	$(BIN)/sphinx-build -q -b linkcheck docs docs/_build/links

bench: $(READY)  ## measure what is fast beside what a user would use instead; figures stay in bench/results.json
	$(BIN)/python -m bench

fuzz: $(READY)  ## change and make inputs at random, 10 CPU minutes a reader; what breaks one is kept in fuzz-found/
	$(BIN)/python -m tests.fuzz

lock:  ## choose versions anew (needs uv)
	uv pip compile pyproject.toml --all-extras --group dev --group docs --universal --python-version 3.11 --generate-hashes --no-header -q --upgrade -o requirements.lock

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(DEMO_OUT) docs/_build docs/reference docs/notebooks fuzz-found fuzz-corpus .pytest_cache .mypy_cache .ruff_cache .hypothesis
