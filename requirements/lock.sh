#!/usr/bin/env bash
# Resolves pyproject.toml into the locks beside this file: versions and hashes, no addresses, for Python 3.11 to 3.13.
#
#   make lock                   # keeps the versions that still fit
#   make lock ARGS=--upgrade    # takes the newest that fit
#   make lock ARGS='--upgrade-package trl'
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

uv=$(command -v uv || true)
if [[ -z $uv ]]; then
    .venv/bin/python -m pip install --quiet uv
    uv=.venv/bin/uv
fi

# compile LOCK SENTENCE [OPTION...]: the output file is read first, so a lock changes no more than it must.
compile() {
    local lock=requirements/$1.txt sentence=$2
    shift 2
    local body
    body=$(mktemp)
    if [[ -f $lock ]]; then cp "$lock" "$body"; fi
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --output-file "$body" "$@" pyproject.toml >/dev/null
    # uv repeats configured indexes as options and lists what it left out; neither belongs into a lock.
    { printf '# %s Made by "make lock"; do not edit.\n' "$sentence"; grep -vE '^(--|#|$)' "$body"; } >"$lock"
    rm -f "$body"
    printf 'lock: %s, %d packages\n' "$lock" "$(grep -c '^[a-z0-9]' "$lock")"
}

names() { sed -nE "s/^(${2:-[a-z0-9][a-z0-9._-]*})==.*/\1/p" "$1" | sort -u; }

# leave_out NAME...: the options that keep those packages out of a lock.
leave_out() { printf -- '--no-emit-package %s ' "$@"; }

compile gpu "The CUDA build of torch 2.13 and DeepSpeed." \
    --extra gpu --extra dashboards --constraint requirements/torch.txt "$@"

# The CPU build of torch needs none of the CUDA packages; it is itself installed first, by requirements/setup.sh.
# shellcheck disable=SC2046
compile cpu "All but torch, which requirements/torch.txt pins." \
    --extra gpu --extra dashboards --constraint requirements/gpu.txt \
    $(leave_out torch $(names requirements/gpu.txt '(nvidia|cuda)-[a-z0-9-]+|triton')) "$@"

compile gpu-vllm "The CUDA build of torch 2.11 with vLLM and DeepSpeed." \
    --extra gpu --extra vllm --extra dashboards --constraint requirements/vllm.txt "$@"

# The tools stand on top of any of the three, so only what none of them holds is listed.
# shellcheck disable=SC2046
compile dev "The tools of make test, on top of one of the other locks." \
    --extra dev --constraint requirements/gpu.txt --constraint requirements/torch.txt \
    $(leave_out $(names requirements/gpu.txt)) "$@"
