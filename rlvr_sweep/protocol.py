"""What those who start a worker and the worker itself agree on: exit codes, and variables of its environment."""

DONE = 0
FAILED = 1
USER_ERROR = 2  # a mistake only the user can mend
LOCKED = 3  # another process runs the cell
STOPPED = 75  # in good order before the end (EX_TEMPFAIL): start it again and it goes on

ATTEMPT = "RLVR_SWEEP_ATTEMPT"  # the number of the attempt, whose directory is there already
JOB = "RLVR_SWEEP_JOB"  # the SLURM task that runs it: ARRAYJOB_TASK
SHARE = "RLVR_SWEEP_SHARE"  # the part of its GPU that it was given
DEADLINE = "RLVR_SWEEP_DEADLINE"  # unix time by which a checkpoint must be written
STOP_FILE = "RLVR_SWEEP_STOP_FILE"  # once it is there, the cell checkpoints and ends: where signals do not reach
