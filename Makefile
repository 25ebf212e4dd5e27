# Everything a developer types. `make` alone lists the targets.
#
# `make demo` and `make test` need nothing but make, Python 3.11 and a way to Docker: what is missing is installed where that is
# possible (as root, from packages), and named where it is not.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Tests start devbox thousands of times: without its bytecode each start compiles it anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.devbox-stamp
REFERENCE := $(VENV)/reference/bin/devcontainer
SITE := $(VENV)/site
PYTEST := PATH="$(CURDIR)/$(BIN):$$PATH" DEVBOX_REFERENCE_CLI="$${DEVBOX_REFERENCE_CLI:-$$(test ! -x $(REFERENCE) || echo $(CURDIR)/$(REFERENCE))}" $(BIN)/pytest
# The tests of one file run in one process, long files first: those that wait for the engine alternate with those that compile, and
# short ones fill up the end. As some wait, there is one process more than cores; but four at most, for all share one engine.
WORKERS ?= $(shell expr $$(nproc) + 1)
SIDE_BY_SIDE := -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml .ci/requirements.txt .ci/ensure-venv
	@.ci/ensure-venv $(VENV)
	@touch $@

.PHONY: venv
venv: $(STAMP) ## Make the virtual environment with devbox and its tools in it

.PHONY: engine
engine: ## See to a Docker engine: use the one that answers, else install and start one
	@.ci/ensure-engine

.PHONY: reference
reference: $(STAMP) ## Install the reference dev container CLI, which some tests compare with
	@.ci/ensure-reference $(VENV)

.PHONY: tools
tools: ## See to git, a compiler and small servers, which tests run on this machine itself
	@.ci/ensure-tools

.PHONY: demo
demo: $(STAMP) engine ## Run the main job on a small CUDA tree; KEEP=1 keeps the container
	@PATH="$(CURDIR)/$(BIN):$$PATH" KEEP="$(KEEP)" tests/trees/demo.sh

.PHONY: test
test: $(STAMP) lint tools engine reference ## Lint, and run all tests but the slow ones and those that need a GPU
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not slow and not gpu' $(ARGS)

.PHONY: check
check: lint tools ## Lint, and run the tests that need nothing but this machine's tools: two minutes
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not engine and not slow and not gpu' tests/unit tests/golden $(ARGS)

.PHONY: lint
lint: $(STAMP) ## Check style, format, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(STAMP) ## Format the code and fix what can be fixed
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: unit
unit: $(STAMP) tools ## Run the tests that need no engine
	$(PYTEST) $(SIDE_BY_SIDE) -m 'not engine and not slow and not gpu' $(ARGS)

.PHONY: engine-test
engine-test: $(STAMP) tools engine reference ## Run the tests that need an engine
	$(PYTEST) $(SIDE_BY_SIDE) -m 'engine and not slow and not gpu' $(ARGS)

.PHONY: slow-test
slow-test: $(STAMP) tools engine reference ## Run the tests that take minutes: long histories, 100,000 files, CUDA builds
	$(PYTEST) -m 'slow and not gpu and not reach' $(ARGS)

.PHONY: reach-test
reach-test: $(STAMP) engine ## Run the main job on other engines, which it starts in a container: rootless Docker, Podman
	$(PYTEST) -m reach tests/reach $(ARGS)

.PHONY: bare-test
bare-test: $(STAMP) engine ## Type `make demo` and `make check` on bare Debian 12, 13, Ubuntu 22.04, 24.04, as root and not; ARGS=ubuntu22.04
	@$(BIN)/python -m tests.trees.bare $(ARGS)

.PHONY: cluster-test
cluster-test: $(STAMP) engine ## Run the main job in pods of the cluster that KUBECONFIG names
	$(PYTEST) --capture=sys -m reach tests/cluster $(ARGS)

.PHONY: chaos
chaos: $(STAMP) engine ## Kill and interrupt commands anywhere, and see that the same ones finish; SEED=, ROUNDS=
	SEED="$(SEED)" ROUNDS="$(ROUNDS)" $(PYTEST) -m slow -rP tests/engine/test_chaos.py $(ARGS)

.PHONY: words
words: $(STAMP) engine ## Hand 6,400 hostile words to docker itself, and compare what it makes with what was judged
	$(PYTEST) -m slow tests/engine/test_docker_words.py -rP $(ARGS)

.PHONY: gpu-test
gpu-test: $(STAMP) tools engine ## Run the tests that need an NVIDIA GPU; DEVBOX_GPU_IMAGE names an image with nvcc and cmake
	$(PYTEST) -m gpu $(ARGS)

.PHONY: reference-suite
reference-suite: $(STAMP) tools engine reference ## Run the reference CLI's own suites through it and devbox; TREE=its checkout
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.reference.suite $(TREE) $(ARGS)

.PHONY: conformance
conformance: $(STAMP) ## Record what a project's own script would run beside devbox; TREE=its checkout, which it runs in
	@$(BIN)/python -m tests.trees.conformance $(TREE)
	@$(BIN)/python docs/generate.py

.PHONY: trees
trees: $(STAMP) engine ## Build parts of real source trees (llama.cpp, vLLM); takes an hour, and a network
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.trees.real $(ARGS)

.PHONY: bench
bench: $(STAMP) tools engine reference ## Measure devbox beside docker, ninja and the reference CLI until each budget is decided, 20 min at most
	@PATH="$(CURDIR)/$(BIN):$(CURDIR)/$(VENV)/reference/bin:$$PATH" $(BIN)/python -m bench $(ARGS)

.PHONY: scale
scale: $(STAMP) tools engine ## Measure how times grow with containers, files, bytes and calls at once, as curves; 10 min
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench.scale $(ARGS)

.PHONY: wheel
wheel: $(STAMP) ## Build sdist and wheel of the commit, with SBOM and hashes, and prove that the wheel works outside the checkout
	@$(BIN)/pytest -q -m slow tests/unit/test_lock.py
	@$(BIN)/python .ci/package.py

.PHONY: release
release: $(STAMP) ## Make the release VERSION=1.2.3: the changelog's section, a commit, a tag, and the same as `make wheel` from it
	@test -n "$(VERSION)" || { echo "make release VERSION=1.2.3" >&2; exit 2; }
	@$(BIN)/pytest -q -m slow tests/unit/test_lock.py
	@$(BIN)/python .ci/package.py $(VERSION)

.PHONY: matrix
matrix: ## Run `make check` with each Python that devbox is for; PYTHONS="3.11 3.14"
	@.ci/matrix $(PYTHONS)

.PHONY: lock
lock: ## Write the lock of what is installed here: the newest versions that pyproject.toml allows, by their hashes
	@.ci/lock

.PHONY: docs
docs: $(STAMP) ## Write what is generated and committed: reference pages and devcontainers/
	$(BIN)/python docs/generate.py

$(SITE)/.stamp: .ci/requirements-site.txt $(STAMP)
	$(BIN)/python -m venv --clear $(SITE)
	$(SITE)/bin/pip install -qq --require-hashes --requirement .ci/requirements-site.txt
	@touch $@

.PHONY: site
site: $(SITE)/.stamp ## Build the documentation as a site in build/site, with its links checked; nothing is fetched for it
	$(BIN)/python docs/site.py $(SITE)/bin/zensical

.PHONY: devcontainers
devcontainers: docs ## The same: the definitions follow from the code as the pages do

.PHONY: clean
clean: ## Remove what was built and cached; containers and volumes are left alone
	rm -rf $(VENV) $(VENV)-3.* dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find devbox tests bench docs -name __pycache__ -type d -prune -exec rm -rf {} +
