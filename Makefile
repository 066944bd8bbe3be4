# `make` lists the targets. Everything builds with the one `dev` profile, so that RocksDB is
# compiled once.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Continuous integration clones anew each time: its build is kept outside the clone.
ifeq ($(CI),true)
export CARGO_TARGET_DIR ?= $(HOME)/.cache/everlog/target
endif
TARGET := $(or $(CARGO_TARGET_DIR),target)
XDG_CACHE_HOME ?= $(HOME)/.cache
export PATH := $(XDG_CACHE_HOME)/everlog/tools/bin:$(PATH)

# What the demo runs. Every layer builds it too: cargo chooses the features of a dependency by what
# is built together, and another choice would compile RocksDB again.
PROGRAMS := -p everlog -p checkout -p counter -p demo
# Crates whose tests are layers of their own, or want another choice of packages than all.
SEPARATE := everlog-simulation everlog-e2e everlog-log-client everlog-test-kafka everlog-cluster
# The layers of `make test`, in order: what fails soonest comes first.
LAYERS := lint unit simulation e2e log-backends e2e-kafka chaos
# Beside those of the simulator's own tests, which have the first seeds.
CRASHES ?= 300000
FIRST_SEED := 100001

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 28

.PHONY: setup
setup: ## Install what building and testing need, where it is missing
	@scripts/setup

.PHONY: setup-build
setup-build:
	@scripts/setup --build

.PHONY: demo
demo: setup-build ## Kill Everlog in the middle of 200 orders and see every one finish
	@echo "Building everlog, the checkout functions, the counter service and the demo ..."
	cargo build $(PROGRAMS)
	@$(TARGET)/debug/demo $(DEMO_FLAGS)

.PHONY: test
test: setup ## Run every layer of the tests and print the minutes of each (about 45 minutes)
	@MAKE="$(MAKE)" scripts/test $(LAYERS)

.PHONY: test-all
test-all: setup ## The same with ten times the crashes and a hundred times the random cases (hours)
	@CRASHES=4800000 PROPTEST_CASES=25600 MAKE="$(MAKE)" scripts/test $(LAYERS)

.PHONY: lint
lint: ## Layer: format, clippy, licences, bans and sources of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --log-level error check bans licenses sources

.PHONY: unit
unit: ## Layer: unit scripts, laws, golden files, house rules
	cargo test --workspace $(addprefix --exclude ,$(SEPARATE))

.PHONY: simulation
simulation: ## Layer: the simulator, CRASHES=300000, and 200,000 of its own tests
	cargo build $(PROGRAMS) -p everlog-simulation
	$(TARGET)/debug/everlog-simulation --seed $(FIRST_SEED) --crashes $(CRASHES)
	cargo test $(PROGRAMS) -p everlog-simulation

.PHONY: e2e
e2e: ## Layer: real processes, real functions, kill -9, on the embedded log (a cluster on Kafka)
	@scripts/functions
	cargo build $(PROGRAMS) -p everlog-e2e
	cargo test $(PROGRAMS) -p everlog-e2e

.PHONY: e2e-kafka
e2e-kafka: ## Layer: the same over a real Apache Kafka, as far as they are about calls, in Rust, TypeScript and Python
	@scripts/functions
	cargo build $(PROGRAMS) -p everlog-e2e
	E2E_LOG=kafka cargo test $(PROGRAMS) -p everlog-e2e --test calls --test kills --test languages --test retention --test sleeps -- --skip go_ --skip java_

.PHONY: log-backends
log-backends: ## Layer: one suite on the embedded log and on a real Apache Kafka
	cargo test $(PROGRAMS) -p everlog-log-client -p everlog-test-kafka -p everlog-cluster

.PHONY: chaos
chaos: ## Layer: faults in the processes of a cluster, each kind once; for longer with MINUTES=15
	cargo build $(PROGRAMS) -p everlog-chaos
	$(TARGET)/debug/everlog-chaos run --on cluster $(if $(MINUTES),--minutes $(MINUTES),--minutes 0 --seed 5) $(CHAOS_FLAGS)

.PHONY: recovery
recovery: ## Measure how long calls wait when their executor is killed, with a standby and without
	cargo build $(PROGRAMS) -p everlog-chaos
	$(TARGET)/debug/everlog-chaos recovery --standbys 1
	$(TARGET)/debug/everlog-chaos recovery --standbys 0

.PHONY: bench
bench: setup-build ## Measure calls per second and latencies
	@scripts/bench $(BENCH_FLAGS)

.PHONY: steady
steady: setup-build ## Watch memory, threads, files and disk under MINUTES=60 of steady load
	@scripts/bench steady --minutes $(or $(MINUTES),60) $(BENCH_FLAGS)

.PHONY: waiting
waiting: setup-build ## Measure 10,000 suspended invocations beside 1,000 open attempts
	@scripts/bench waiting $(BENCH_FLAGS)

.PHONY: queries
queries: setup-build ## Measure questions in SQL about 100,000 invocations
	@scripts/bench queries $(BENCH_FLAGS)

.PHONY: audit
audit: setup ## Check the dependencies against the advisory database
	@scripts/audit

.PHONY: kafka
kafka: setup ## Start one Kafka broker, with its data in .everlog/kafka, and print its address
	@echo "The broker runs until Ctrl-D."
	@tests/kafka/broker.sh run .everlog/kafka

.PHONY: fmt
fmt: ## Format all code
	cargo fmt --all
