#!/bin/sh
# clang-tidy.sh CLANG_TIDY BUILD LIST [--all] - .clang-tidy on the files of LIST; --all: with the static analyzer.
# Silent if all is well.
set -eu
checks=-clang-analyzer-*
[ "${4:-}" = --all ] && checks=
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# "N warnings generated" on stderr counts those of system headers, which are not shown.
if xargs -P "$(nproc)" -n 8 "$1" --quiet -p "$2" ${checks:+"--checks=$checks"} < "$3" > "$out" 2> "$out.err"; then code=0; else code=1; fi
cat "$out"
if [ $code != 0 ] && [ ! -s "$out" ]; then cat "$out.err"; fi
rm -f "$out.err"
exit $code
