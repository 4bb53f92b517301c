#!/usr/bin/env bash
# Installs what packages.txt names and this machine lacks, as root or through sudo.
# Says what it installs; silent and quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "spatter: this script knows Debian 12 and 13 only; install the counterparts of packages.txt by hand, then build with CMake." >&2
  exit 1
fi

mapfile -t wanted < <(grep -v '^[[:space:]]*\(#\|$\)' packages.txt)
mapfile -t present < <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${wanted[@]}" 2>/dev/null | awk '$1 == "ii" {print $2}')
mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) <(printf '%s\n' "${present[@]:-}" | sort -u))
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "spatter: these packages are missing and neither root nor sudo is at hand: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { "${as_root[@]}" apt-get install -y -q --no-install-recommends "${missing[@]}"; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -q && install; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  echo "spatter: installing the packages failed; see above." >&2
  exit 1
fi
