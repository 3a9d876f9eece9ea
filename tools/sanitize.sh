#!/usr/bin/env bash
# Builds the tests with sanitizers (clang) and runs them. Usage: tools/sanitize.sh [asan] [tsan] [quick]; without
# arguments asan and tsan.
#   asan   addresses, leaks and undefined behaviour: every test program
#   tsan   data races: the modules that use threads
#   quick  asan without the command line and the tests that run it, nearly half of the build
# Ends with "N passed, M failed".
set -uo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- asan tsan
tools/setup.sh clang libclang-rt-dev || exit 1
launcher=$(command -v ccache)
passed=0 failed=0

# run PRESET TARGETS...: builds the targets (none: all of them) and runs the test programs that the folder holds.
run() {
  local preset=$1 log line
  shift
  if ! cmake --preset "$preset" ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} > /dev/null ||
    ! cmake --build "build/$preset" ${1:+--target "$@"}; then
    failed=$((failed + 1))
    return
  fi
  log=build/$preset/tests.log
  tools/run_tests.sh "build/$preset" | tee "$log"
  line=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
  passed=$((passed + ${line%% *}))
  failed=$((failed + $(echo "$line" | sed -E 's/.*, ([0-9]+) failed/\1/')))
}

export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=suppressions=$PWD/tools/tsan.supp
for preset in "$@"; do
  case $preset in
    asan) run asan ;;
    quick) run asan paro_{base,io,kernels,model,quant,backends,runtime,calib}_test ;;
    tsan) run tsan paro_{base,kernels,quant,backends,runtime,calib}_test ;;
    *) echo "tools/sanitize.sh: expected asan, tsan or quick, found '$preset'" >&2; exit 2 ;;
  esac
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
