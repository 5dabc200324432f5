#!/bin/bash
# tsan - the unit tests with more than one thread, under ThreadSanitizer.
exec bash tests/phases/unit.sh thread tests/phases/tsan.list
