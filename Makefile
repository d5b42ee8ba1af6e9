# One command per thing a developer or user does. Everything lives in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -P -m pip install --quiet --disable-pip-version-check
# Packages by their hashes; torch by its version, in whatever build the index has; the project as it is here.
INSTALL = $(PIP_INSTALL) --require-hashes --no-deps -r locks/build.txt -r locks/$(1).txt \
	&& $(PIP_INSTALL) -c constraints.txt torch && $(PIP_INSTALL) --no-deps --no-build-isolation -e .
SOURCES := common edge cloud training benchmarks tests docker

.PHONY: help demo test test-all test-docker test-floors check format proto fuzz lock sbom audit clean

help: ## Show this help.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt locks/build.txt locks/bench.txt | $(BIN)/python
	@echo "installing eventspec into $(VENV) (a few minutes the first time)"
	$(call INSTALL,bench)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt locks/build.txt locks/dev.txt | $(BIN)/python
	@echo "installing eventspec and its tools into $(VENV) (a few minutes the first time)"
	$(call INSTALL,dev)
	@touch $@ $(VENV)/.runtime

demo: $(VENV)/.runtime ## Start an edge and a cloud on this machine and ask about the shipped clips.
	@$(BIN)/eventspec-bench demo

test: $(VENV)/.dev ## Run the whole suite.
	$(BIN)/python -m pytest

test-all: test ## The whole suite and what takes long: hostile clients, faults, flips, fuzzing, images.
	$(BIN)/eventspec-bench hostile
	$(BIN)/eventspec-bench faults
	$(BIN)/eventspec-bench flips
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),120) --keep artifacts/fuzz
	@if docker info >/dev/null 2>&1; then $(MAKE) test-docker; else echo "no Docker engine here: the images weren't tested"; fi

test-docker: $(VENV)/.dev ## Build the images, measure over three links in docker compose; needs a Docker engine.
	EVENTSPEC_TEST_DOCKER=1 $(BIN)/python -m pytest tests/docker

check: $(VENV)/.dev ## Lint, types, import contracts, the contract's lint, and that generated code is current.
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/lint-imports
	$(BIN)/buf lint proto
	$(BIN)/python -m tests.proto_drift

format: $(VENV)/.dev ## Format the code and fix what can be fixed.
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

proto: $(VENV)/.dev ## Regenerate the code of the contract.
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=proto --pyi_out=proto --grpc_python_out=proto proto/eventspec/v1/*.proto

fuzz: $(VENV)/.dev ## Fuzz the codec and all readers, SECONDS=60 for each target; inputs are kept in artifacts/fuzz.
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) --keep artifacts/fuzz $(TARGETS)

lock: $(VENV)/.dev ## Write the lock files anew, from pyproject.toml and constraints.txt; UPGRADE=1 takes newer versions.
	$(BIN)/python -m tests.supply.locking $(if $(UPGRADE),--upgrade)

test-floors: $(VENV)/.dev ## Test with the oldest versions that pyproject.toml allows, in a venv of their own.
	$(BIN)/python -m tests.supply.floors

sbom: $(VENV)/.dev ## Write artifacts/sbom.json: what is installed, as CycloneDX.
	@mkdir -p artifacts
	$(BIN)/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --of JSON -o artifacts/sbom.json
	@echo "wrote artifacts/sbom.json"

audit: $(VENV)/.dev ## Look for known vulnerabilities in what is installed; status 2: not all could be asked about.
	$(BIN)/python -m tests.supply.audit

clean: ## Remove what was installed and built.
	rm -rf $(VENV) build dist artifacts .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
