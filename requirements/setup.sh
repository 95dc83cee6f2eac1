#!/usr/bin/env bash
# Makes .venv and installs rlvr_sweep into it; a second start finds it done and returns at once, without network.
#
#   make setup                          # what is chosen is said, a line each
#   PYTHON=python3.12 make setup        # this Python (3.11 to 3.13)
#   DEVICE=gpu-vllm make setup          # cpu, gpu or gpu-vllm instead of what nvidia-smi suggests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
state=$venv/setup-state # "unfinished", or what .venv was made for; a .venv without this file is not ours to touch
log=$venv/setup.log
wanted="Python 3.11, 3.12 or 3.13"

say() { printf 'setup: %s\n' "$*"; }
refuse() { printf 'setup: %s\n' "$*" >&2; exit 2; }

# logged COMMAND...: its output goes to the log; on a failure the end of it is shown.
logged() {
    "$@" >>"$log" 2>&1 || {
        local code=$?
        tail -n 15 "$log" >&2
        printf 'setup: failed: %s (all of it in %s); "make setup" starts again\n' "$(cut -c1-120 <<<"$*")" "$log" >&2
        exit "$code"
    }
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }
supported() { [[ $1 == 3.11 || $1 == 3.12 || $1 == 3.13 ]]; }

pick_python() {
    local candidate version first=""
    if [[ -n ${PYTHON:-} ]]; then
        version=$(version_of "$PYTHON")
        [[ -n $version ]] || refuse "PYTHON=$PYTHON does not run; name an interpreter of $wanted, as in PYTHON=python3.12 make setup"
        supported "$version" || refuse "PYTHON=$PYTHON is Python $version; rlvr_sweep needs $wanted, as in PYTHON=python3.12 make setup"
        python=$PYTHON python_version=$version
        return
    fi
    local candidates=(python3 python python3.13 python3.12 python3.11)
    if [[ -n $uv ]]; then candidates+=("$("$uv" python find --no-python-downloads '>=3.11,<3.14' 2>/dev/null || true)"); fi
    for candidate in "${candidates[@]}"; do
        version=$(version_of "$candidate")
        if supported "$version"; then
            python=$candidate python_version=$version
            if [[ -n $first ]]; then say "$first, which rlvr_sweep cannot use; taking $candidate"; fi
            return
        fi
        if [[ -n $version && -z $first ]]; then first="$candidate is Python $version"; fi
    done
    refuse "${first:-no Python on PATH}; rlvr_sweep needs $wanted: install one, then PYTHON=/path/to/python3.12 make setup"
}

pick_device() {
    case ${DEVICE:-auto} in
        cpu | gpu | gpu-vllm) device=$DEVICE why="DEVICE=$DEVICE" ;;
        auto)
            local gpus # a variable, not a pipe: under pipefail "grep -q" would make a listing of many GPUs look like a failure
            gpus=$(nvidia-smi -L 2>/dev/null || true)
            if ! command -v nvidia-smi >/dev/null; then
                device=cpu why="no nvidia-smi here; DEVICE=gpu takes the CUDA build"
            elif [[ $gpus != *"GPU 0"* ]]; then
                device=cpu why="nvidia-smi shows no GPU; DEVICE=gpu takes the CUDA build"
            else
                device=gpu why="nvidia-smi shows a GPU; DEVICE=gpu-vllm adds vLLM, DEVICE=cpu leaves CUDA out"
            fi
            ;;
        *) refuse "DEVICE=$DEVICE is not known; write DEVICE=cpu, DEVICE=gpu or DEVICE=gpu-vllm" ;;
    esac
}

PATH=${PATH//"$PWD/$venv/bin:"/} # activated or not, a virtual environment is not made from itself
uv=$(command -v uv || true)
locks=$(cat requirements/*.txt requirements/setup.sh pyproject.toml | cksum | tr ' ' -)
here=$PWD

# The state file holds the folder, the Python, the device and the locks that .venv was made for. PYTHON and DEVICE count where they
# are given: "make run" after "DEVICE=gpu-vllm make setup" stays with vLLM.
fresh=yes
if [[ -f $state ]]; then
    IFS='|' read -r was_here was_python was_device was_locks <"$state" || true
    fresh=no
    if [[ $was_here == unfinished ]]; then
        fresh=yes reason="the last setup did not finish"
    elif [[ $was_here != "$here" ]]; then
        fresh=yes reason="it was made in another folder"
    elif [[ -z $(version_of "$venv/bin/python") ]]; then
        fresh=yes reason="its Python does not run any more"
    elif [[ -n ${PYTHON:-} && $(version_of "$PYTHON") != "$was_python" ]]; then
        fresh=yes reason="it has Python $was_python"
    elif [[ ${DEVICE:-$was_device} != "$was_device" ]]; then
        fresh=yes reason="it was made for DEVICE=$was_device"
    elif [[ $was_locks == "$locks" ]]; then
        exit 0
    fi
elif [[ -n $(ls -A "$venv" 2>/dev/null) ]]; then
    refuse "$venv is there but not made by this script; move it away (mv $venv $venv.old), then make setup"
fi

# All that can be refused is refused before anything is removed.
if [[ $fresh == yes ]]; then
    pick_python
    pick_device
    if [[ -z $uv ]] && ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        refuse "$python has no venv module; install it (Debian, Ubuntu: apt install python3-venv) or uv, then make setup"
    fi
    if [[ -n ${reason:-} ]]; then say "making $venv again: $reason"; fi
    mkdir -p "$venv"
    printf 'unfinished\n' >"$state" # first, so that an interruption at any later point is seen
    find "$venv" -mindepth 1 -maxdepth 1 ! -path "$state" -exec rm -rf {} +
else
    python_version=$was_python device=$was_device why="as before; the locks or pyproject.toml have changed"
fi
printf 'unfinished\n' >"$state"
: >"$log"
trap 'printf "setup: interrupted; make setup starts again\n" >&2; exit 130' INT TERM
if [[ -n $uv ]]; then installer="uv $("$uv" --version | cut -d' ' -f2)"; else installer="uv if pip can bring it (no uv on PATH)"; fi
say "Python $python_version, $installer, lock requirements/$device.txt ($why)"

if [[ $fresh == yes && -n $uv ]]; then
    logged "$uv" venv --quiet --seed --allow-existing --python "$python" "$venv"
elif [[ $fresh == yes ]]; then
    logged "$python" -m venv "$venv"
fi

pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)
# uv installs several times as fast. What it cannot reach, as what only pip is configured with, pip installs.
if [[ -z $uv ]]; then
    sed -n '/^uv==/,/[^\\]$/p' requirements/dev.txt >"$venv/uv.txt"
    if "${pip[@]}" install --require-hashes --no-deps -r "$venv/uv.txt" >>"$log" 2>&1 && [[ -x $venv/bin/uv ]]; then uv=$venv/bin/uv; fi
fi
install() {
    if [[ -n $uv ]] && "$uv" pip install --python "$venv/bin/python" "$@" >>"$log" 2>&1; then return; fi
    if [[ -n $uv ]]; then say "uv could not install $(cut -c1-60 <<<"$*") (see $log); pip does"; fi
    logged "${pip[@]}" install --no-warn-script-location "$@"
}

# The CPU build: from a folder of wheels that pip is configured with (--find-links), else from where uv knows to look; the plain
# package comes last, because on Linux it is the CUDA build. Nothing here names an address.
install_cpu_torch() {
    local torch
    torch=$(grep '^torch==' requirements/torch.txt)
    if [[ $(uname -s) == Darwin ]]; then
        say "$torch, the only build there is for a Mac"
        install --no-deps "$torch"
        return
    fi
    if "${pip[@]}" install --no-deps "$torch+cpu" >>"$log" 2>&1; then
        say "$torch, CPU build, found by pip"
        return
    fi
    if [[ -n $uv ]] && "$uv" pip install --python "$venv/bin/python" --no-deps --torch-backend=cpu "$torch" >>"$log" 2>&1; then
        say "$torch, CPU build, found by uv"
        return
    fi
    say "WARNING: no CPU build of $torch can be reached from here; taking the CUDA build, a download of 2.7 GB"
    install "$torch"
}

if [[ $fresh == yes ]]; then say "installing; one to three minutes (follow it with: tail -f $log)"; fi
if [[ $device == cpu ]]; then install_cpu_torch; fi
export DS_BUILD_OPS=0 # DeepSpeed compiles what it needs at its first use
UV_COMPILE_BYTECODE=1 install --require-hashes --no-deps -r "requirements/$device.txt" -r requirements/dev.txt
install --no-deps --no-build-isolation --editable .

printf '%s|%s|%s|%s\n' "$here" "$python_version" "$device" "$locks" >"$state"
say "done: $venv holds Python $python_version and $("$venv/bin/python" -c 'from importlib.metadata import version as v
print("torch", v("torch") + ", TRL", v("trl") + ", transformers", v("transformers"))')"
