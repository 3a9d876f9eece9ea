#!/usr/bin/env bash
# Runs every test that needs an NVIDIA GPU on a machine with one and prints a summary with commit and date.
# Usage: tools/gpu_tests.sh [BUILD_FOLDER]   (default build/cuda, from `cmake --preset cuda`); COMMIT names the commit
# where there is no repository. Exits with 1 when a test failed or none ran.
set -uo pipefail
cd "$(dirname "$0")/.."
tests=${1:-build/cuda}/bin/paro_cuda_tests
[ -x "$tests" ] || { echo "gpu_tests: $tests: not there; cmake --preset cuda && cmake --build build/cuda --target paro_cuda_tests" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$tests" --gtest_color=no 2>&1 | tee "$log"
count() { grep -c "^\[ *$1 *\] [A-Za-z]*\.[A-Za-z]* (" "$log"; }
passed=$(count OK) failed=$(count FAILED) skipped=$(count SKIPPED)
commit=${COMMIT:-$(git rev-parse --short HEAD 2> /dev/null || echo unknown)}
device=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null | head -1)
echo "gpu tests: $passed passed, $failed failed, $skipped skipped; ${device:-no GPU}; commit $commit, $(date -u +%Y-%m-%d)"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
