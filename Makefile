# Thin: every target is one command that can be typed instead. `make help` lists them.

CARGO ?= cargo
DEVSTACK = $(CARGO) run -q -p millrace-devstack --
BENCHES = $(sort $(basename $(notdir $(wildcard benches/src/bin/*.rs))))

# `make fuzz`: which target (see fuzz/src/lib.rs), and for how long.
TARGET ?= logs
SECONDS ?= 600
# What cargo-fuzz passes too: counters at every edge, and operands of comparisons.
FUZZ_FLAGS = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
HOST = $(shell rustc -vV | sed -n 's/host: //p')
FUZZ = target/$(HOST)/fuzz/guided

.PHONY: help run stop test chaos docs fmt lint bench overload fuzz sigma-check sigma-record ci

help: ## What there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

run: ## Install what is missing, start the engines and the services, say how to use them
	$(DEVSTACK) run

stop: ## Stop what `make run` started; the data stays
	$(DEVSTACK) stop

test: ## All tests, on engines of their own that are thrown away afterwards
	$(CARGO) build -q --workspace --bins
	$(DEVSTACK) exec -- $(CARGO) test --workspace --no-fail-fast

chaos: ## The fault laboratory; SEED, DURATION, FAULTS, KILLS, RATE, ROUND (docs/reliability.md)
	$(CARGO) build -q $(PROFILE) --workspace --bins
	$(CARGO) run -q $(PROFILE) -p millrace-tests --bin chaos

docs: ## Write the generated documents anew
	$(CARGO) run -q -p millrace-tests --bin docs

fmt: ## Format
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path sigma-check/Cargo.toml

lint: ## Warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: ## One benchmark a hop, and end to end
	$(DEVSTACK) exec -- sh -ec 'for bench in $(BENCHES); do $(CARGO) run -q --release -p millrace-benches --bin $$bench; done'

# New inputs go to target/fuzz; those worth keeping go to fuzz/corpus by hand, smallest first.
fuzz: ## Fuzz one target, guided by coverage: make fuzz TARGET=logs SECONDS=600
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build -q -p millrace-fuzz --features guided --bin guided \
		--profile fuzz --target $(HOST)
	mkdir -p target/fuzz/$(TARGET) target/fuzz/broken
	$(FUZZ) --target=$(TARGET) -max_total_time=$(SECONDS) -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix=target/fuzz/broken/$(TARGET)- \
		target/fuzz/$(TARGET) fuzz/corpus/$(TARGET)

# Seconds of each overload and of each outage; the targets are judged by minutes and by 900.
OVERLOAD_S ?= 60
OUTAGE_S ?= 60
LIVE ?= 5000
SCENARIOS ?= 2x,5x,noisy,clickhouse,postgres
# Cores (as taskset writes them) of the pipeline and of the load; shared when empty.
PIPELINE_CORES ?=
LOAD_CORES ?=

overload: ## Overload and fairness: OVERLOAD_S, OUTAGE_S, LIVE, SCENARIOS, PIPELINE_CORES, LOAD_CORES
	$(CARGO) build -q --release --workspace --bins
	target/release/overload --seconds $(OVERLOAD_S) --outage $(OUTAGE_S) --live $(LIVE) --scenarios $(SCENARIOS) \
		$(if $(PIPELINE_CORES),--pipeline-cores $(PIPELINE_CORES)) $(if $(LOAD_CORES),--load-cores $(LOAD_CORES))

# Directories of Sigma rules, and of events (JSON documents, lines of logs), to compare on besides what is
# checked in, with EACH events made of what each rule asks for.
RULES ?=
EVENTS ?=
EACH ?= 6

sigma-check: ## The rule engine beside another evaluator of Sigma: make sigma-check RULES=dir EVENTS=dir
	cd sigma-check && $(CARGO) test -q --locked
	$(if $(RULES),cd sigma-check && $(CARGO) run -q --locked -- --rules $(abspath $(RULES)) \
		$(if $(EVENTS),--events $(abspath $(EVENTS))) --each $(EACH))

sigma-record: ## Write anew what the other evaluator says, for the engine's own tests
	cd sigma-check && $(CARGO) run -q --locked -- --record ../detection/tests/sigma

ci: ## Everything that CI checks
	.ci/run
