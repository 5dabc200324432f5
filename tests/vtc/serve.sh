#!/bin/sh
# serve.sh GATEWAY - the gateway of one test, with the configuration g.json of its folder.
#
# It listens on two unix sockets there, gate and admin: no port can be taken by a neighbour, and
# the configuration shows only what the test is about. A test that needs addresses sets GATEWAY_LISTEN
# itself. exec keeps the process id, so that `process p1 -kill` reaches the gateway.
export GATEWAY_LISTEN="${GATEWAY_LISTEN:-unix:$PWD/gate}"
export GATEWAY_ADMIN_LISTEN="${GATEWAY_ADMIN_LISTEN:-unix:$PWD/admin}"
[ -e g.json ] || exec "$1"
exec "$1" -c g.json
