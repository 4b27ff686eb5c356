# PatchSets. `make` alone lists the targets; `make train` and `make test` are all the set-up there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
# The lock file holds hashes of all but torch, whose CPU and CUDA builds have the same version.
TORCH := $(shell sed -n 's/^# then: //p' requirements.lock)
# uv installs in seconds what takes pip minutes, but has its own names for pip's settings.
ifdef PIP_FIND_LINKS
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
endif
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

.PHONY: help train test test-faults test-docker test-registry test-searches test-travel test-gpu lint format bench bench-gpu max-regression lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "PatchSets needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say which one: make train PYTHON=python3.12")'
	@echo "Setting up .venv, once ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode $(TORCH)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

train: .venv/ready ## train a patch-set classifier on embedded images (about a minute); OVERRIDES="hparams.batch_size=32" is passed on
	@$(BIN)/python src/train.py $(OVERRIDES)

test: .venv/ready ## run the tests
	@$(BIN)/python tests/run.py

test-faults: .venv/ready ## kill -9 at 100 random moments of every task and command, full disks, damaged files, dead servers and ranks (up to an hour); FAULTS_KILLS=200 for more of the tasks, FAULTS_SEED=7 for other moments
	@PATCHSETS_TEST_FAULTS=1 $(BIN)/python -m pytest -s tests/faults

test-docker: .venv/ready ## build the image, train in it, look at it and tidy up, on a real engine (minutes; docs/docker.md)
	@PATCHSETS_TEST_DOCKER=1 $(BIN)/python -m pytest tests/docker

test-registry: .venv/ready ## register a model in a real browser on a real MLflow server, use it and serve it (a minute; needs chromium)
	@PATCHSETS_TEST_REGISTRY=1 $(BIN)/python -m pytest tests/deployment

test-searches: .venv/ready ## searches in many processes, killed ones too, on SQLite and PostgreSQL (seven minutes)
	@PATCHSETS_TEST_SEARCHES=1 $(BIN)/python -m pytest tests/search

test-travel: .venv/ready ## repeat eight kinds of run in four places from their records alone, and name 20 planted differences (a quarter of an hour)
	@PATCHSETS_TEST_TRAVEL=1 $(BIN)/python -m pytest -s tests/travel

test-gpu: .venv/ready ## what only a GPU can show: other kernels, bf16, compile, memory, a training (a minute; says what it skips)
	@$(BIN)/python -m pytest -rs tests/gpu

lint: .venv/ready ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/ready ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/ready ## measure speed beside bare loops, padded sets and per-image cutting (about a quarter of an hour)
	cd benchmarks && for name in training set_modules set_memory patches encoded_epochs startup search autoencoder tracking auroc_intervals features; do ../$(BIN)/python $$name.py; done

bench-gpu: .venv/ready ## what a GPU gains from compile, channels-last, bf16, variable-length attention and pinned memory
	cd benchmarks && ../$(BIN)/python gpu.py

max-regression: .venv/ready ## reproduce the first table of the Set Transformer paper (about a quarter of an hour)
	cd benchmarks && ../$(BIN)/python max_regression.py

# torch pins its own CUDA packages exactly; listed here, they would also come with a CPU build.
lock: .venv/ready ## add what pyproject.toml newly asks for to requirements.lock; UPGRADE=1 renews all versions
	cp requirements.lock .venv/lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --extra dev --extra neptune --extra onnx --extra postgres --extra launchers --extra weights --extra transformers --no-header --no-annotate \
	    --generate-hashes --no-emit-package torch $(if $(UPGRADE),--upgrade) pyproject.toml -o .venv/lock
	(echo "# then: $$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)"; \
	    awk '/^[^ ]/ {keep = !/^(nvidia-|cuda-|triton)/} keep' .venv/lock) > requirements.lock

clean: ## remove the environment and caches; never a run
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache
