#!/bin/sh
# Installs what `make bench` measures beside: wrk and Packer by apt, the peers in virtual environments of their own.
set -eu

python=${PYTHON:-python3}
venvs=${PEERS:-.bench-venv}

say() { printf '%s\n' "$*" >&2; }

packages=""
for package in wrk packer; do
    command -v "$package" >/dev/null 2>&1 || packages="$packages $package"
done
if [ -n "$packages" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        say "These packages are missing. Install them, then run the same command again:"
        say "  sudo apt-get install --no-install-recommends$packages"
        exit 1
    fi
    say "Installing by apt:$packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
fi

for peer in fastapi openstack; do
    say "Installing $peer into $venvs/$peer"
    "$python" -m venv "$venvs/$peer"
    "$venvs/$peer/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "bench/$peer.lock"
done
