#!/usr/bin/env bash
# Runs every test program of a build folder and ends with "N passed, M failed".
# Usage: tools/run_tests.sh BUILD [EMULATOR...], the command that runs programs built for another processor.
set -uo pipefail
build=${1:?usage: tools/run_tests.sh BUILD [EMULATOR...]}
shift
reports=$build/test-reports
rm -rf "$reports" && mkdir -p "$reports"

# One process a program: the suites share their set-up and thousands of small tests take seconds.
for program in "$build"/bin/*_test "$build"/bin/paro_tests; do
  [ -x "$program" ] || continue
  name=$(basename "$program")
  if ! timeout 900 "$@" "$program" --gtest_brief=1 --gtest_output="json:$reports/$name.json" > "$reports/$name.log" 2>&1; then
    echo "--- $name failed:"
    tail -n 60 "$reports/$name.log"
    [ -s "$reports/$name.json" ] || echo '{"tests": 1, "failures": 1, "crashed": true}' > "$reports/$name.json"
  fi
done

python3 - "$reports" << 'PYTHON'
import json, pathlib, sys
passed = failed = skipped = 0
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
    report = json.loads(path.read_text())
    bad = report.get("failures", 0) + report.get("errors", 0)
    skip = sum(test.get("result") == "SKIPPED" for suite in report.get("testsuites", []) for test in suite["testsuite"])
    total = report["tests"] - report.get("disabled", 0)
    print(f"{path.stem:24} {total - bad - skip:5} passed {bad:3} failed {skip:3} skipped {report.get('time', '')}")
    passed, failed, skipped = passed + total - bad - skip, failed + bad, skipped + skip
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(1 if failed or not passed else 0)
PYTHON
