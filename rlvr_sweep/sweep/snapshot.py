"""The code as it is at submission, so that what is edited while cells wait in a queue does not change them.

    code = snapshot(Path("runs"))      # runs/_sweeps/_code/<hash>, to be put first on PYTHONPATH

Equal code is kept once. Where it comes from a git checkout, code.json says which commit, and code.patch what differed.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from rlvr_sweep import source
from rlvr_sweep.config.tree import PACKAGE
from rlvr_sweep.sweep.manifest import SWEEPS


def snapshot(runs: Path) -> Path:
    """Copy the package (also what is not committed) below `runs`; the folder that holds it."""
    files = sorted(p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(PACKAGE)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    target = runs.resolve() / SWEEPS / "_code" / digest.hexdigest()[:12]
    if target.is_dir():
        return target
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    for file in files:
        copy = partial / PACKAGE.name / file.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    commit, patch = source.commit(), source.git("diff", "HEAD", "--", PACKAGE.name)
    (partial / "code.json").write_text(json.dumps({"commit": commit, "changed": bool(patch)}, indent=1) + "\n")
    if patch:
        (partial / "code.patch").write_text(patch + "\n")
    partial.rename(target)
    return target
