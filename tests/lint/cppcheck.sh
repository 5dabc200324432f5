#!/bin/bash
# cppcheck.sh - a second opinion on gateway/, without the families that are taste.
# System headers are not read: what they hide, the two compilers have seen.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p build/cppcheck
cppcheck -q -j2 --std=c11 --enable=warning,portability,performance --inline-suppr \
    --error-exitcode=1 --cppcheck-build-dir=build/cppcheck -Igateway -D__GNUC__ -D_GNU_SOURCE \
    --suppress=missingInclude --suppress=missingIncludeSystem --suppress=unmatchedSuppression \
    --suppress=normalCheckLevelMaxBranches --suppress=checkersReport \
    '--template={file}:{line}: {severity}: {message} [{id}]' gateway
