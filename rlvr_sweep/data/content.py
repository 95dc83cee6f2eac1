"""The content hash of a file or of a model folder: what stands for a local path in a cell's identity.

    content_sha256("problems.jsonl")        # 64 hex digits, read once for each (path, size, time of change)

Standard library only: the identity of a cell is computed before anything heavy is imported.
"""

from difflib import get_close_matches
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path

from rlvr_sweep.errors import UserError

# What `from_pretrained` may read, and what trainers leave beside it that cannot change a model.
MODEL_SUFFIXES = {".safetensors", ".bin", ".json", ".jinja", ".model", ".txt", ".py"}
NOT_MODEL = {"training_args.bin", "trainer_state.json"}


def content_sha256(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes, or of a model folder's files: sorted names, each with the hash of its bytes.

    Of a folder only the visible files directly in it count, as `from_pretrained` reads no others. A renamed or moved
    folder keeps its hash. UserError where there is no such path, or the folder holds no model file.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return _cached(path)
    if not path.is_dir():
        raise missing(path)
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix in MODEL_SUFFIXES
        and file.name not in NOT_MODEL
        and not file.name.startswith(".")
        and file.is_file()
    )
    if not files:
        raise UserError(f"{path}: holds no model files (config.json, *.safetensors, tokenizer); write a model folder")
    digest = sha256()
    for file in files:
        digest.update(f"{file.name}\0{_cached(file)}\n".encode())
    return digest.hexdigest()


def _cached(file: Path) -> str:
    stat = file.stat()
    return _file_sha256(str(file.resolve()), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _file_sha256(path: str, _size: int, _mtime_ns: int) -> str:
    """Read the bytes; size and time of change are there to make a changed file a new key."""
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def missing(path: Path, *, key: str | None = None) -> UserError:
    """The fault of a path that is not there, with the nearest name that is."""
    where = f"{key}: " if key else ""
    if not path.parent.is_dir():
        return UserError(
            f"{where}{path}: no such file, and no folder {path.parent}; write the path of a file that exists"
        )
    names = sorted(file.name for file in path.parent.iterdir() if not file.name.startswith("."))
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    hint = f"write {path.parent / near[0]}" if near else "write the path of a file that exists"
    return UserError(f"{where}{path}: no such file; {hint}")
