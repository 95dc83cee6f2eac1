"""argparse whose faults are one line, as every mistake of a user is.

made = Parser(prog="python -m rlvr_sweep align"); made.add_argument("--samples", type=int)
made.parse_args(["--samples", "x"])      # UserError: align: argument --samples: invalid int value: 'x'; see ... --help
"""

import argparse
from typing import NoReturn

from rlvr_sweep.errors import UserError


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError where argparse prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog.rpartition('rlvr_sweep ')[2]}: {message}; see {self.prog} --help")
