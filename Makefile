# The commands that README names and CI runs. Nothing needs to be installed beforehand but Python.
#   make demo       train the embedded default, evaluate, export, predict: minutes on a laptop
#   make test       lint, types and all tests but the slow ones
#   make test-slow  the slow ones
#   make check      lint and types only
#   make bench      our training step beside that of keras.applications
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO_DIR ?= runs/demo
SOURCES := efficientnet_tf configs scripts tests main.py setup.py

.PHONY: demo test test-slow check format bench

# Each stamp is newer than setup.py once what it asks for is installed.
$(VENV)/.installed: setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is too old; make PYTHON=... with Python 3.10 or newer" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; a few minutes)"
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing the test tools"
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/python main.py --config=configs/digits.py --model=efficientnet-b0 --model_dir=$(DEMO_DIR)
	$(BIN)/python scripts/demo_predict.py --saved_model=$(DEMO_DIR)/export --output_dir=$(DEMO_DIR)/images

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

test: check
	$(BIN)/python -m pytest -n 2 --dist=loadfile

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.installed
	$(BIN)/python scripts/bench_train.py
