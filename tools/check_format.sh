#!/usr/bin/env bash
# Fails when a source differs from what clang-format would write (`make format` mends it).
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.cpp' '*.h' '*.cu' '*.cuh' | xargs clang-format --dry-run --Werror
echo "formatting: clean"
