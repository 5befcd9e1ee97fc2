#!/usr/bin/env bash
# Installs Debian packages without letting any of them start a service: nginx would serve its default
# site on port 80, now and after every reboot. While apt works, a policy-rc.d says no to all starts;
# it goes away again however apt ends. Run as root, by boot.sh: deps/install.sh LOG PACKAGE…
#
# TESTMESH_POLICY_RC names another policy-rc.d, for the tests.
set -euo pipefail

policy=${TESTMESH_POLICY_RC:-/usr/sbin/policy-rc.d}
kept=$policy.before-testmesh
mark='# made by testmesh while it installs packages'

log=$1
shift

# A policy of the machine's own is set aside meanwhile; a kill -9 may have left it there.
put_back() {
    if [[ -f $policy ]] && grep -qxF -- "$mark" "$policy"; then
        rm -f "$policy"
    fi
    if [[ -e $kept && ! -e $policy ]]; then
        mv "$kept" "$policy"
    fi
}

put_back
apt=
# apt goes first: without the policy, what it still installs would be started.
give_up() {
    if [[ -n $apt ]]; then
        kill -TERM "$apt" 2>/dev/null || true
        wait "$apt" || true
    fi
    exit "$1"
}

trap put_back EXIT
trap 'give_up 130' INT
trap 'give_up 143' TERM HUP

if [[ -e $policy ]]; then
    mv "$policy" "$kept"
fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
apt-get update -q </dev/null >"$log" 2>&1 ||
    printf '    (apt-get update did not go well: %s)\n' "$log"
# In the background, so that a signal is not kept waiting for apt's end.
apt-get install -y --no-install-recommends "$@" </dev/null >>"$log" 2>&1 &
apt=$!
code=0
wait "$apt" || code=$?
for service in nginx prometheus; do # their units would start at the next boot
    if [[ $code -eq 0 && " $* " == *" $service "* ]] && command -v update-rc.d >/dev/null; then
        update-rc.d "$service" disable >>"$log" 2>&1 || true
    fi
done
exit "$code"
