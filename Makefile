# Darkroom. `make` alone lists what there is.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
READY   := $(VENV)/.ready
PEERS   := .bench-venv
DATA    ?=
BENCH   ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test crash bench check format lock messages docs clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Install what is missing: a virtual environment, and by apt what QEMU guests need

$(READY): pyproject.toml requirements-dev.lock package-lock.json tools/setup.sh tools/vendor.py
	@PYTHON="$(PYTHON)" VENV="$(VENV)" tools/setup.sh
	@touch $@

demo: $(READY) ## Set everything up, then make a golden image on a real VM and prove it
	@$(BIN)/python tools/demo.py

serve: $(READY) ## Run the service to use it for real; DATA=/some/folder says where it keeps everything
	@$(BIN)/darkroom kit build
	@$(BIN)/darkroom $(if $(DATA),--data "$(DATA)") serve

test: $(READY) ## Set everything up, then check the code and run all tests
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -n 3 --dist loadfile tests/unit tests/contract tests/integration
	@$(BIN)/python -m pytest tests/e2e  # by itself: the browser's loop bars others from the process
	@$(BIN)/python -m pytest tests/crash  # by itself: it forks, which a process with threads must not

crash: $(READY) ## Kill the service at every instruction of every job, and see that all ends right
	@PYTHONPATH=tests $(BIN)/python -m crash

bench: $(READY) $(PEERS)/.ready ## Measure the service beside its peers, and write the report
	@PYTHONPATH=tests:. $(BIN)/python -m bench --report docs/explanation/bench $(BENCH)

$(PEERS)/.ready: bench/setup.sh bench/fastapi.lock bench/openstack.lock
	@PYTHON="$(BIN)/python" PEERS="$(PEERS)" bench/setup.sh
	@touch $@

check: $(READY) ## Format, lint, types and architecture
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(READY) ## Write the locked sets of dependencies anew
	@for extra in "" dev; do \
	  $(BIN)/uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" $${extra:+--extra $$extra} -o requirements$${extra:+-$$extra}.lock || exit 1; \
	done
	@for peer in fastapi openstack; do \
	  $(BIN)/uv pip compile -q bench/$$peer.in --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command "make lock" -o bench/$$peer.lock || exit 1; \
	done
	@npm install --package-lock-only --ignore-scripts --silent

messages: $(READY) ## Write what the console says into its catalogues of translations
	@$(BIN)/python tools/messages.py

docs: $(READY) ## Write the generated pages of the reference anew
	@$(BIN)/python tools/reference.py

clean: ## Remove the virtual environment, what comes from npm, caches and the demo's folders
	rm -rf $(VENV) $(PEERS) node_modules src/darkroom/console/static/vendor .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
