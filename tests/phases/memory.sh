#!/bin/bash
# memory - 256 MiB through the plain gateway, both ways, with readers and writers that stand still for a
# while: its peak stays under 64 MiB and every byte arrives (tests/load/memory.mjs; `make big` does 1 GiB).
set -u
make -s -j2 programs || { echo "count 0 1"; exit 1; }
exec node tests/load/memory.mjs 256 64
