#!/usr/bin/env bash
# Cross-builds the tests of modules for 64-bit Arm (warnings are errors) and runs them under qemu's user emulation: on a
# processor with every extension, on one with dot products but no int8 matrices and on one with neither, so that every
# NEON variant and the reference run. What that takes says nothing about speed. Ends with "N passed, M failed".
# Usage: tools/arm64.sh [MODULE...], by default base kernels quant backends
set -uo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- base kernels quant backends
tools/setup.sh g++-aarch64-linux-gnu qemu-user || exit 1
root=$PWD/build/arm64-sysroot
build=build/arm64
tools/arm64_sysroot.sh "$root" || exit 1
launcher=$(command -v ccache)
rm -f "$build"/bin/*_test
targets=("${@/%/_test}")
cmake --preset arm64 -DPARO_WERROR=ON ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} > /dev/null || exit 1
cmake --build "$build" --target "${targets[@]/#/paro_}" || exit 1

passed=0 failed=0
# on CPU ISA: every test program on that processor, kernels chosen for ISA, which it has to have.
on() {
  local log=$build/tests-$1.log line
  echo "--- $1 ($2)"
  PARO_ISA=$2 tools/run_tests.sh "$build" qemu-aarch64 -cpu "$1" -L "$root" | tee "$log"
  line=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  line=${line:-0 passed, 1 failed}
  passed=$((passed + ${line%% *}))
  failed=$((failed + $(echo "$line" | sed -E 's/.*, ([0-9]+) failed/\1/')))
}
on max neoni8mm
on neoverse-n1 neon
# Without dot products nothing but the reference may run.
find "$build/bin" -name '*_test' ! -name paro_base_test -delete
on cortex-a72 reference
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
