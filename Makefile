# One command each; every one makes .venv first if it is not there. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test proofs tui check coverage bench load faults audit attacks fuzz rollouts soak screenshots docs clean

help: ## List the commands.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "covey: Python 3.11 or newer is needed; name one with \`make PYTHON=/path/to/python3\`"; exit 1; }
	@$(PYTHON) -c 'import platform, sys; sys.exit(platform.libc_ver()[0] != "glibc")' || \
		{ echo "covey: a Linux with glibc is needed; PyTorch and ONNX Runtime ship no wheels for others"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "covey: Python's venv module is missing; on Debian install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned set into .venv (once; a torch that is there is kept) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[demo,dev]' || \
		{ echo "covey: the install failed; the lines above say why. Once mended, run make again."; exit 1; }
	@touch $@

demo: $(READY) ## Run the whole story on flights data (5 to 8 minutes) and print the report.
	@$(BIN)/python -m simulations.demo

test: $(READY) ## Run the tests.
	@$(BIN)/python -m pytest -q -n 2 -m "not proof"

proofs: $(READY) ## Run the slow proofs: the demo, kills, the crash table, the audit, attacks, modes (about 15 minutes).
	@$(BIN)/python -m pytest -q -m proof

tui: $(READY) ## Open the terminal UI on what the demo left behind.
	@$(BIN)/covey --home demo/federation

coverage: $(READY) ## Run the tests and say which lines they reach.
	@$(BIN)/python -m pytest -q -m "not proof" --cov --cov-report=term:skip-covered

check: $(READY) ## Lint, format, types, import contracts.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check -q . && $(BIN)/pyright && $(BIN)/lint-imports --no-cache

bench: $(READY) ## Print all benchmark tables, the simulator's beside the peers that are installed (about 15 minutes).
	@$(BIN)/python -m simulations.benchmarks
	@$(BIN)/covey-sim bench

load: $(READY) ## Load a real coordinator with up to 1,000 devices, stock Flower beside it (about 15 minutes).
	@$(BIN)/covey-sim load

faults: $(READY) ## Kill, fill and spoil an agent everywhere, and print what held (about 4 minutes).
	@$(BIN)/python -m simulations.faults

audit: $(READY) ## Estimate epsilon from below on the code that ships, and catch its mutants (about 3 minutes).
	@$(BIN)/python -m simulations.audit

attacks: $(READY) ## Attack a federation as its members, and its updates as their reader (about 8 minutes).
	@$(BIN)/python -m simulations.attacks.members
	@$(BIN)/python -m simulations.attacks.data

fuzz: $(READY) ## A million inputs that nobody would write, on everything that parses (about 15 minutes).
	@$(BIN)/python -m simulations.fuzz

rollouts: $(READY) ## Send six kinds of bad candidates to a real fleet, past the gates, and print how far each came (about 2 minutes).
	@$(BIN)/covey-sim rollout

soak: $(READY) ## Thirty minutes of predictions through swaps, kills and a coordinator that goes away.
	@$(BIN)/python -m simulations.soak --minutes 30

screenshots: $(READY) ## Draw the terminal UI's screenshots from what the demo left behind.
	@$(BIN)/python -m simulations.screenshots --home demo/federation --out docs/images

docs: $(READY) ## Build the documentation into site/, every link checked.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## Remove what the demo and the tests left behind; .venv stays.
	@rm -rf demo soak reports .pytest_cache .ruff_cache .hypothesis
