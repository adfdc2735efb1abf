#!/bin/sh
# Installs what Darkroom needs and the machine lacks: system packages by apt, a virtual environment with locked packages.
set -eu

python=${PYTHON:-python3}
venv=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }

# Command to look for, and the Debian package that has it.
wanted='qemu-system-x86_64 qemu-system-x86
qemu-img qemu-utils
ssh openssh-client
node nodejs
npm npm
chromium chromium'

missing() {
    echo "$wanted" | while read -r command package; do
        command -v "$command" >/dev/null 2>&1 || echo "$package"
    done
}

modern() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# A Python of its own choice, or the first that is new enough.
for candidate in "$python" python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
    if modern "$candidate"; then found=$candidate; break; fi
done
[ -n "${found:-}" ] || { say "Darkroom needs Python 3.11 or newer; there is none on the PATH."; exit 1; }

packages=$(missing | tr '\n' ' ')
# Debian keeps PostgreSQL's programs off the PATH. The tests start one of their own.
if ! command -v postgres >/dev/null 2>&1 && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    packages="$packages postgresql"
fi
if ! "$found" -c 'import ensurepip, venv' >/dev/null 2>&1; then packages="$packages python3-venv"; fi

if [ -n "${packages% }" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        say "These Debian packages, or what your system calls them, are missing: $packages"
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "These packages are missing. Install them, then run the same command again:"
        say "  sudo apt-get install --no-install-recommends $packages"
        exit 1
    fi
    say "Installing by apt: $packages"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >"${TMPDIR:-/tmp}/darkroom-apt.log" 2>&1 || {
        tail -n 20 "${TMPDIR:-/tmp}/darkroom-apt.log" >&2
        say "apt could not install: $packages"
        exit 1
    }
fi

say "Installing Python packages into $venv"
"$found" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

say "Copying what the console takes from npm"
npm ci --ignore-scripts --no-audit --no-fund --silent
"$venv/bin/python" tools/vendor.py
