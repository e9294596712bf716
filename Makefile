# Five commands: make setup, make test, make lint, make demo, make docs (and make serve). Each sets up what it needs.
PYTHON ?= python3
VENV   := .venv
# idle threads sleep instead of spinning: much faster on a machine that is shared
export OMP_WAIT_POLICY := PASSIVE
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# A CPU build of torch saves gigabytes where there is no GPU:
#   make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
PIP_ARGS := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: setup demo test lint serve docs bench clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"zhitou needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: call make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV) (once; the second run installs nothing)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $(READY)

demo: $(READY)
	@$(BIN)/zhitou demo --out out

serve: $(READY)
	@$(BIN)/zhitou serve --out out

test: $(READY)
	@$(BIN)/python -m pytest

lint: $(READY)
	@$(BIN)/ruff check src tests bench
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

docs: $(READY)
	@$(BIN)/python -m pytest tests/test_docs.py

bench: $(READY)
	@$(BIN)/python bench/table.py

clean:
	rm -rf out build dist
