#!/bin/bash
# Healthy: nginx runs, and some node answers through it.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${FRONT_PORT:-8080}"
printf 'GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
read -r _ status _ <&3
[[ $status == 200 ]]
