#!/bin/sh
# Prints a Python that the project can use, or says in one sentence what to install.
# PYTHON, where it is set, is the only candidate.
set -eu

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo "does not run"
}

refuse() {
    echo "preflight: $1" >&2
    exit 1
}

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.12 python3.11 python3.10
fi

unfit=
without_venv=
for candidate in "$@"; do
    command -v "$candidate" >/dev/null 2>&1 || continue
    if ! fits "$candidate"; then
        unfit="$unfit${unfit:+, }$candidate is $(version_of "$candidate")"
    elif ! "$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        without_venv=${without_venv:-$candidate}
    else
        command -v "$candidate"
        exit 0
    fi
done

advice="install one (e.g. 'apt install python3.12 python3.12-venv', or from python.org) or name yours with 'make PYTHON=/path/to/python3.12 ...'"
if [ -n "$without_venv" ]; then
    refuse "$without_venv cannot make virtual environments; install its venv module, e.g. 'apt install python$(version_of "$without_venv")-venv'"
elif [ -n "$unfit" ]; then
    refuse "Python 3.10, 3.11 or 3.12 is needed, but $unfit; $advice"
else
    refuse "Python 3.10, 3.11 or 3.12 is needed, but none of these was found: $*; $advice"
fi
