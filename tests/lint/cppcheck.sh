#!/bin/sh
# cppcheck.sh CPPCHECK BUILD LIST - cppcheck on the files of LIST. Silent if all is well.
#
# Left out, and why: missingInclude*: the compiler sees to it; funcArgOrderDifferent: it takes the short names of
# definitions for swapped arguments; internalAstError: it cannot parse a compound literal inside ?:, which is its own
# defect; duplicateAssignExpression: lo = hi = x.
set -eu
exec "$1" --quiet --enable=warning,portability,performance --error-exitcode=1 --inline-suppr --std=c11 -j "$(nproc)" \
    -I. -Iruntime/include -I"$2/frontend" --template='{file}:{line}: {severity}: {message} [{id}]' \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=funcArgOrderDifferent --suppress=internalAstError \
    --suppress=duplicateAssignExpression --file-list="$3"
