"""argparse whose faults are one line, as every mistake of a user is.

made = Parser(prog="python -m rlvr_sweep align"); made.add_argument("--samples", type=positive)
made.parse_args(["--samples", "x"])      # UserError: align: argument --samples: 'x' is no count; write 1 or more; see
"""

import argparse
from typing import Any, NoReturn

from rlvr_sweep.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError where argparse prints its usage and exits. An option is written out:
    what `--run` is short for may change with the next option."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog.rpartition('rlvr_sweep ')[2]}: {message}; see {self.prog} --help")


def positive(text: str) -> int:
    """An argument that counts something there must be."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write 1 or more")
    return int(text)


def natural(text: str) -> int:
    """An argument that counts something, of which there may be none."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count; write 0 or more")
    return int(text)
