#!/usr/bin/env bash
# Puts Debian's SLURM and munge on a Debian or Ubuntu machine, for tests/slurm; no service is started. Where they are, nothing is done.
#
#   tests/slurm/install.sh      # exit code 0: they are here; 1: one line says why not
set -euo pipefail

packages=(slurm-wlm slurm-wlm-basic-plugins munge)
policy=/usr/sbin/policy-rc.d
PATH=$PATH:/usr/sbin:/sbin

say() { printf 'slurm: %s\n' "$*"; }
refuse() { printf 'slurm: %s\n' "$*" >&2; exit 1; }

missing() {
    local program
    for program in munged slurmctld slurmd sbatch; do
        command -v "$program" >/dev/null || { echo "$program"; return; }
    done
}

absent=$(missing)
if [[ -z $absent ]]; then exit 0; fi
command -v apt-get >/dev/null || refuse "no $absent here, and this is neither Debian nor Ubuntu: install SLURM (slurmctld, slurmd, sbatch) and munge by hand"
[[ $(id -u) == 0 ]] || refuse "no $absent here, and only root can install it: sudo $0"

work=$(mktemp -d)
log=$work/log
# Installed packages ask this file whether their services may start; whatever was there comes back, however the script ends.
restore() {
    rm -f "$policy"
    if [[ -e $work/policy || -L $work/policy ]]; then mv "$work/policy" "$policy"; fi
    rm -rf "$work"
}
trap restore EXIT
trap 'exit 130' INT TERM
if [[ -e $policy || -L $policy ]]; then mv "$policy" "$work/policy"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -q -y --no-install-recommends "${packages[@]}" </dev/null >"$log" 2>&1; }
if ! install; then # perhaps only because the lists are old, or not there yet
    apt-get update -q </dev/null >/dev/null 2>&1 || true
    install || refuse "apt-get install ${packages[*]} fails: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
fi
absent=$(missing)
[[ -z $absent ]] || refuse "${packages[*]} are installed, but there is no $absent"
say "installed $(dpkg-query -W -f '${Package} ${Version}  ' slurmctld munge)(no service was started)"
