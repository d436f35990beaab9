# Thin: every target is one command that can be typed instead. `make help` lists them.

CARGO ?= cargo
DEVSTACK = $(CARGO) run -q -p millrace-devstack --
BENCHES = $(sort $(basename $(notdir $(wildcard benches/src/bin/*.rs))))

.PHONY: help run stop test chaos docs fmt lint bench overload ci

help: ## What there is
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

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

lint: ## Warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: ## One benchmark a hop, and end to end
	$(DEVSTACK) exec -- sh -ec 'for bench in $(BENCHES); do $(CARGO) run -q --release -p millrace-benches --bin $$bench; done'

# Seconds of each overload and of each outage; the targets are judged by minutes and by 900.
OVERLOAD_S ?= 60
OUTAGE_S ?= 60
LIVE ?= 5000
SCENARIOS ?= 2x,5x,noisy,clickhouse,postgres

overload: ## Overload and fairness: OVERLOAD_S, OUTAGE_S, LIVE, SCENARIOS
	$(CARGO) build -q --release --workspace --bins
	target/release/overload --seconds $(OVERLOAD_S) --outage $(OUTAGE_S) --live $(LIVE) --scenarios $(SCENARIOS)

ci: ## Everything that CI checks
	.ci/run
