#!/bin/bash
# tools - the tests of the checks themselves.
set -eu
exec tests/layers_test.sh
