#!/bin/bash
# Healthy: the node takes work. A node that drains, repairs its store or has failed is not; restart one
# for /healthz only.
set -euo pipefail

port=${TESTMESH_PORT:-5001}
exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' >&3
read -r _ status _ <&3
[[ $status == 200 ]]
