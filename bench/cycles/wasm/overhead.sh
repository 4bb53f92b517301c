#!/bin/sh
# What being admitted costs the four kernels: each translated by wasm2c and gcc as it came and admitted, and
# run in turn. Prints the least processor seconds of each.
#   overhead.sh BUILD-FOLDER [rounds]
set -e
build=$1/tests/cycles/wasm/programs rounds=${2:-9}
here=$(dirname "$(readlink -f "$0")") runtime=/usr/share/wabt/wasm2c
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

translate() {  # MODULE NAME [define]
  mkdir "$work/$2.c"
  wasm2c --no-debug-names -n module "$1" -o "$work/$2.c/module.c"
  gcc -O2 -ffp-contract=off -w $3 -DWASM_RT_USE_STACK_DEPTH_COUNT=0 -I"$work/$2.c" -I$runtime -I/usr/include \
    "$here/host.c" "$work/$2.c/module.c" $runtime/wasm-rt-impl.c -lm -o "$work/$2"
}

for kernel in "sha256 40000" "sort 1000000" "hash_table 3000" "matrix 500"; do
  set -- $kernel
  translate "$build/$1.wasm" "$1.plain"
  translate "$build/$1.admitted.wasm" "$1.admitted" -DCOUNTS_FUEL
  for round in $(seq "$rounds"); do
    for form in plain admitted; do
      "$work/$1.$form" 100000000000000 "$2" 2>&1 >/dev/null | cut -d' ' -f1 >> "$work/$1.$form.seconds"
    done
  done
  echo "$1: plain $(sort -n "$work/$1.plain.seconds" | head -1) s, admitted $(sort -n "$work/$1.admitted.seconds" | head -1) s"
done
