#!/usr/bin/env bash
# The tests of base, kernels and the CPU backend under address and undefined-behaviour sanitizers.
# `make sanitize` runs every test that way; it takes several times as long to build.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset asan > /dev/null
cmake --build build/asan --target paro_base_test paro_kernels_test paro_backends_test
for test in base kernels backends; do build/asan/bin/paro_${test}_test --gtest_brief=1; done
