"""The one exception a user sees: what is wrong, where, what to write instead; one line, no traceback, exit code 2."""


class UserError(Exception):
    """A mistake the user can mend. The message is one line (or one line a fault) and names the remedy."""
