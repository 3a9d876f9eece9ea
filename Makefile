# A thin front of CMake. `make demo` shows what paro does, `make test` tells whether it works; both install what is
# missing (Debian or Ubuntu packages) and build first.
PRESET ?= release
BUILD  := build/$(PRESET)
PREFIX ?= /usr/local
TEXT   ?=

.PHONY: demo test build bench format install setup sanitize fuzz arm64 conformance check clean help

help:             ## this list
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup:            ## install the packages paro is built with
	@tools/setup.sh

build: setup      ## build/release/bin/paro, tests and benchmarks (PRESET=dev, asan, ...)
	@cmake --preset $(PRESET) $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache) > /dev/null
	@cmake --build $(BUILD)

demo: build       ## quantize a real model, measure it and ask it something (TEXT=FILE: measure on this text too)
	@tools/demo.sh $(BUILD)/bin/paro $(TEXT)

test: build       ## every default test
	@tools/run_tests.sh $(BUILD)

bench: build      ## kernel benchmarks, then whole-model speed on a 1.7B shape
	@for program in $(BUILD)/bin/*_bench; do $$program --benchmark_min_time=0.2 || exit 1; done
	@$(BUILD)/bin/paro bench --shape smollm2-1.7b

sanitize:         ## the tests under address, undefined-behaviour and thread sanitizers (clang)
	@tools/sanitize.sh

fuzz:             ## run every fuzz target briefly (SECONDS_EACH=30)
	@tools/fuzz.sh $(or $(SECONDS_EACH),30)

arm64:            ## cross-build for 64-bit Arm and run its tests under qemu (MODULES="kernels quant")
	@tools/arm64.sh $(MODULES)

conformance: setup ## compare with other programs: tokenizers, chat templates, logits (TEXTS=FILES: tokenize these too)
	@cmake --preset $(PRESET) $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache) > /dev/null
	@cmake --build $(BUILD) --target paro_cli paro_render_template paro_tokenize_lines
	@tools/conformance/run.sh $(BUILD) $(TEXTS)

check:            ## include arrows and formatting
	@tools/check_includes.py
	@tools/check_format.sh

format:           ## clang-format over every source
	@git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format -i

install: build    ## into PREFIX (default /usr/local)
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean:            ## remove the build folder
	@rm -rf build
