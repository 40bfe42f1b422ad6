# Everything a newcomer types. `make demo` and `make test` set up what they need.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSOLE := ground/console
ARGS ?=

.PHONY: help demo test check bench accuracy docs setup console format lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.demo $(CONSOLE)/dist/index.html ## two simulated platforms, two edge workers, a ground station, a live map
	$(BIN)/skywarden demo $(ARGS)

# Real sockets, processes and browsers share two busy cores here: what fails in the crowd is judged once more,
# alone, by name, and only that verdict counts. The first run's account stays above it.
test: setup console .system-packages ## set up and run every test
	$(BIN)/pytest -n 2 --dist loadgroup $(ARGS) || { [ $$? = 1 ] && echo "== failed above; once more, alone:" \
		&& $(BIN)/pytest --last-failed --last-failed-no-failures none $(ARGS); }

check: setup ## format, lint, types, imports, fast tests; under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q -n 2 -m "not slow" $(ARGS)

bench: setup ## measure, as ratios in one run; writes docs/benchmarks.md and .json
	$(BIN)/python -m sim.bench $(ARGS)

accuracy: setup ## positions against real data and scenario truth; writes docs/accuracy.md
	$(BIN)/python -m sim.accuracy $(ARGS)

docs: setup ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

setup: $(VENV)/.dev ## create .venv with everything pinned

console: $(CONSOLE)/dist/index.html ## build the web console

format: setup ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: setup ## renew the pinned versions in constraints/
	bash constraints/renew.sh

clean: ## remove what was built (not .venv)
	rm -rf build docs/_build $(CONSOLE)/dist $(CONSOLE)/node_modules .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The stamps hold the environment to its pins: a changed pin or pyproject installs again.
$(VENV)/.demo: $(VENV)/bin/python constraints/demo.txt pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r constraints/demo.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python constraints/dev.txt pyproject.toml
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r constraints/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

$(CONSOLE)/dist/index.html: $(CONSOLE)/package-lock.json $(shell find $(CONSOLE)/src $(CONSOLE)/public $(CONSOLE)/index.html -type f 2>/dev/null)
	cd $(CONSOLE) && npm ci --no-audit --no-fund --silent && npm run --silent build -- --logLevel warn
	@touch $@

.PHONY: .system-packages
.system-packages:
	@bash constraints/system_packages.sh
