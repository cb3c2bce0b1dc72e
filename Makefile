# Each target sets up what it needs; a second run sets nothing up again.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
# Exact versions; constraints-oldest.txt has the oldest that are supported.
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadgroup

.PHONY: help setup train train-numpy sweep test processors sanitize coverage lint format check mutants bench proofs figures docs package clean

help:
	@echo "make setup         make a virtual environment in .venv with exact versions of everything"
	@echo "make train         run python -m rnn_torch.train; flags: make train ARGS='--seed 1'"
	@echo "make train-numpy   run python -m rnn_numpy.train; flags as above"
	@echo "make sweep         run python -m rnn_torch.sweep, many seeds; flags as above"
	@echo "make test          run the linter, the type checker and all tests, as CI does"
	@echo "make processors    run all tests as on four processors: SSE, AVX, AVX2, your own"
	@echo "make sanitize      test the compiled kernels under ASan and UBSan"
	@echo "make coverage      run the tests; list lines and branches of src/ that they do not run"
	@echo "make check         check this project's backward passes, or ARGS=FILE.py:FUNCTION"
	@echo "make mutants       mutate the mathematics; list mutants that no test detects (half an hour)"
	@echo "make bench         measure speed beside others, into docs/performance.md"
	@echo "make proofs        count the adders that are proved, into docs/*proof.md (three hours)"
	@echo "make figures       draw the figures of README.md and docs/proof.md"
	@echo "make docs          build the documentation as a site in dist/docs"
	@echo "make package       build wheel and sdist in dist/, and try them in an empty environment"
	@echo "make lint, make format, make clean"

setup: .venv/ready

# .venv/run: torch and the package, enough to train; .venv/ready: the tools of development, too.
# PIP_CONSTRAINT rather than --constraint: it also holds for what builds the package.
.venv/run: EXTRAS := torch
.venv/ready: EXTRAS := dev
.venv/run .venv/ready: pyproject.toml setup.py $(CONSTRAINTS) $(wildcard src/rnn_numpy/compiled/*.c)
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/pip install --quiet --editable '.[$(EXTRAS)]'
	@touch .venv/run $@

train: .venv/run
	@$(BIN)/python -m rnn_torch.train $(ARGS)

train-numpy: .venv/run
	@$(BIN)/python -m rnn_numpy.train $(ARGS)

sweep: .venv/run
	@$(BIN)/python -m rnn_torch.sweep $(ARGS)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(PYTEST) $(ARGS)

# What rounds differently on another processor: the BLAS's kernels, with FMA or without; NumPy's and
# torch's vector code; our compiled kernels. x86-64 only; limits what is used, never claims more.
# inductor's cache does not tell processors apart: each has its own.
sse := OPENBLAS_CORETYPE=Prescott ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 \
  MKL_CBWR=COMPATIBLE RNN_KERNELS=generic \
  NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
avx := OPENBLAS_CORETYPE=Sandybridge ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=AVX \
  MKL_CBWR=AVX RNN_KERNELS=generic \
  NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
avx2 := OPENBLAS_CORETYPE=Haswell ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
  MKL_CBWR=AVX2 RNN_KERNELS=avx2 \
  NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR"
own :=

processors: test-sse test-avx test-avx2 test-own

test-sse test-avx test-avx2 test-own: test-%: .venv/ready
	env $($*) TORCHINDUCTOR_CACHE_DIR=$(CURDIR)/.venv/inductor-$* \
	  $(PYTEST) $(ARGS)

# gcc's: an access outside an array, an overflow or a shift too far ends the test.
SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all
sanitize: .venv/ready
	rm -rf build
	CFLAGS="$(SANITIZERS)" LDFLAGS="$(SANITIZERS)" $(BIN)/python setup.py --quiet build
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
	  PYTHONPATH=$$(echo build/lib*) $(BIN)/pytest --capture=no tests/compiled $(ARGS)

# Apart: on Python 3.11 to 3.13 tracing branches makes every test half as slow again.
coverage: .venv/ready
	$(PYTEST) --cov --cov-report=term-missing:skip-covered $(ARGS)

# Our own backward passes.
check: .venv/ready
	@$(BIN)/python -m rnn_torch.check $(ARGS)
	@$(BIN)/python -m rnn_torch.check --dtype float32 $(ARGS)

mutants: .venv/ready
	rm -rf mutants
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/pip install --quiet --editable '.[mutants]'
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

bench: .venv/ready
	for each in speed.online speed.many speed.layer; do \
		$(BIN)/python -m benchmarks.$$each || exit 1; \
	done
	$(BIN)/python -m benchmarks.pages.report

proofs: .venv/ready
	$(BIN)/python -m benchmarks.trust.proofs
	$(BIN)/python -m benchmarks.pages.report

figures: .venv/ready
	@$(BIN)/python -m benchmarks.pages.figures

docs: .venv/ready
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

package: .venv/ready
	rm -rf dist
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/pip install --quiet --editable '.[package]'
	PIP_CONSTRAINT=$(CONSTRAINTS) $(BIN)/python -m build --outdir dist .
	$(BIN)/python tests/package.py

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv mutants .hypothesis .mypy_cache .pytest_cache .ruff_cache .coverage build dist
