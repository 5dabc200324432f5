#!/bin/sh
# unit.sh [VERSION] - gateway.service as a systemd of that version understands it; without one, as this
# machine's does. Type=notify-reload came with 253: before it (Debian 12 has 252) the unit says
# Type=notify and how to reload. A machine without systemd gets that too, because every version takes it.
set -eu
version=${1:-$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')}
unit=$(dirname "$0")/gateway.service
if [ "${version:-0}" -ge 253 ]; then
    cat "$unit"
else
    # shellcheck disable=SC2016 # systemd's variable
    sed 's|^Type=notify-reload$|Type=notify|; s|^ExecStart=.*|&\nExecReload=/bin/kill -HUP $MAINPID|' "$unit"
fi
