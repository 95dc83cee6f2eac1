"""The one entry: a verb goes to its commands, anything else is a cell or a grid of cells.

python -m rlvr_sweep                                   the default cell
python -m rlvr_sweep -m model=lab/qwen,lab/llama seed=0,1,2
python -m rlvr_sweep show CELL
"""

import sys

from rlvr_sweep.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 a cell failed, 2 a user's mistake, 75 stopped before the end, 130 interrupted."""
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        have = ".".join(map(str, sys.version_info[:2]))
        print(f"rlvr_sweep: Python {have} is not supported; use 3.11, 3.12 or 3.13", file=sys.stderr)
        return 2
    from rlvr_sweep import cli  # after the version check: its imports need a supported Python

    try:
        return cli.main(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"rlvr_sweep: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rlvr_sweep: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our pipe has gone; nothing more can be said
        return 141


if __name__ == "__main__":
    sys.exit(main())
