# The commands that README names and CI runs. Nothing needs to be installed beforehand but Python.
#   make demo       train the embedded default, evaluate, export, predict: minutes on a laptop
#   make test       lint, types and all tests but the slow ones
#   make test-slow  the slow ones
#   make test-browser  the report in a real browser, which it installs on Debian or Ubuntu
#   make test-faults  hundreds of faults and thousands of damaged inputs; SEED=N repeats a campaign
#   make check      lint and types only
#   make test-tf219 the tests that are not slow on the TensorFlow of the TPU wheel
#   make test-pythons  README's installation on every Python at hand and beside Colab's packages
#   make tpu-check  whole networks through the TPU compiler, no TPU needed: an hour
#   make bench      our training step beside that of keras.applications; the input pipeline
PYTHON ?= python3
VENV ?= .venv
VENV_TF219 ?= .venv-tf219
BIN := $(VENV)/bin
DEMO_DIR ?= runs/demo
SOURCES := efficientnet_tf configs scripts tests main.py setup.py

.PHONY: demo test test-browser test-faults test-slow test-tf219 test-pythons tpu-check check format bench

# pip first, for the one that comes with Python 3.10 tries versions for ten minutes and more. Then
# with its progress shown: hundreds of megabytes come. The stamp is newer than what asks for them.
$(VENV)/.installed: setup.py requirements/without-tensorflow.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "error: $(PYTHON) is too old; make PYTHON=... with Python 3.10 or newer" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once; a few minutes)"
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing the test tools"
	@$(BIN)/python -m pip install --editable '.[test]'
	@$(BIN)/python -m pip install --editable '.[tpu-check]' || \
	  echo "the TPU compiler could not be installed: its tests will be skipped"
	@touch $@

$(VENV_TF219)/.installed: setup.py requirements/tf219.txt requirements/without-tensorflow.txt
	@test -x $(VENV_TF219)/bin/python || $(PYTHON) -m venv $(VENV_TF219)
	@echo "installing TensorFlow 2.19 into $(VENV_TF219) (once; a few minutes)"
	@$(VENV_TF219)/bin/python -m pip install --quiet --upgrade pip
	@$(VENV_TF219)/bin/python -m pip install -c requirements/tf219.txt --editable '.[test]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/python main.py --config=configs/digits.py --model=efficientnet-b0 --model_dir=$(DEMO_DIR)
	$(BIN)/python scripts/demo_predict.py --saved_model=$(DEMO_DIR)/export --output_dir=$(DEMO_DIR)/images

check: $(VENV)/.installed-test
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

# Two runs, for a process that has made thousands of graphs gets slow; what the first leaves out is
# the second. worksteal: a worker that is done takes over half of what the other has left.
SECOND := tests/training tests/tpu tests/experiment tests/commands tests/export $(wildcard tests/test_*.py)
test: check
	$(BIN)/python -m pytest -n 2 --dist=worksteal tests $(SECOND:%=--ignore=%)
	$(BIN)/python -m pytest -n 2 --dist=worksteal $(SECOND)

test-browser: $(VENV)/.installed-test
	@command -v chromium >/dev/null || \
	  { SUDO=$$([ "$$(id -u)" = 0 ] || echo sudo); $$SUDO apt-get update && \
	    $$SUDO apt-get install -y --no-install-recommends chromium; }
	$(BIN)/python -m pytest -p no:xdist tests/report/test_report_browser.py

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m slow

test-faults: $(VENV)/.installed-test
	PYTHONPATH=$(CURDIR)/tests $(BIN)/python -m faults.campaign $(SEED:%=--seed=%)

test-tf219: $(VENV_TF219)/.installed
	$(VENV_TF219)/bin/python -m pytest -n 2 --dist=worksteal

test-pythons:
	$(PYTHON) scripts/try_pythons.py

tpu-check: $(VENV)/.installed-test
	$(BIN)/python -m pytest -s -m slow tests/tpu/test_tpu_check.py

bench: $(VENV)/.installed
	$(BIN)/python scripts/bench_train.py
	$(BIN)/python scripts/bench_input.py
