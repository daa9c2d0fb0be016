#!/usr/bin/env bash
# Install what the tests compare with and run, where that takes no asking: as root, by apt. Else, say what is missing.
#   recipes/tools.sh WHAT-IS-SKIPPED COMMAND...
set -euo pipefail

export PATH=$PATH:/usr/sbin
skipped=$1
shift

missing() { for tool in "$@"; do command -v "$tool" >/dev/null || echo "$tool"; done; }
packages() { missing "$@" | sed 's/^chromedriver$/chromium-driver/'; }

wanted=$(packages "$@" | xargs)
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing $wanted"
  log=$(mktemp)
  # Installed, not started: nginx would listen on port 80.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1
  # shellcheck disable=SC2086
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $wanted; } >"$log" 2>&1 \
    || { echo "warning: apt-get failed:" >&2; tail -3 "$log" >&2; }
  rm -f "$log"
fi
wanted=$(packages "$@" | xargs)
if [ -n "$wanted" ]; then
  echo "warning: missing: $wanted; $skipped" >&2
  echo "hint: as root: apt-get install $wanted" >&2
fi
