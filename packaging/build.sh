#!/usr/bin/env bash
# Configures (once) and builds. Arguments: what to build; nothing means the programs.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ ! -f build/build.ninja ]; then
  cmake -S . -B build -G Ninja >/dev/null || { rm -f build/build.ninja; exit 1; }
fi
if [ "$#" -eq 0 ]; then set -- programs; fi
ninja -C build --quiet "$@"
