"""The W&B mirror: a copy of the record for those who look there. It may be absent, offline or broken; the cell goes on.

    mirror = Mirror.start(cell_json, cell_dir, mode="offline")      # rank 0 only
    mirror.log(step, {"reward": 0.5, "accuracy/ground_truth": 0.4})
    mirror.finish(exit_code=0)                                      # later: wandb sync CELL_DIR/wandb/offline-run-*

Every call to the client runs in a thread with a time limit; the first that fails or hangs is logged and is the last.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, Literal

log = logging.getLogger(__name__)

INIT_S = 4.0  # how long the client may look for its server before it gives up
FINISH_S = 5.0  # how long it may upload at the end; what is left stays on disk for `wandb sync`
LIMIT_S = 3.0  # any other call; those above get this much on top
TAG = 64  # the longest tag W&B takes
X_AXIS = "train/global_step"
SETTINGS: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "init_timeout": INIT_S,
    "finish_timeout": FINISH_S,
    "reinit": "create_new",  # a second run in this process is a second run, not the first one again
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 1.0,  # the default keeps 15 s in memory, which a SIGKILL loses
}


class NullMirror:
    """No mirror: takes every call and does nothing. `why` says what is missing."""

    url: str | None = None

    def __init__(self, why: str) -> None:
        self.why = why

    def log(self, step: int, metrics: dict[str, Any]) -> None: ...

    def summary(self, values: dict[str, Any]) -> None: ...

    def finish(self, exit_code: int = 0) -> None: ...


class Mirror:
    """One W&B run with id = cell_id and group = arm_id. Never raises, and never blocks for more than a few seconds."""

    def __init__(self, wandb: Any, run: Any, guard: "_Guard") -> None:
        self._wandb = wandb
        self._run = run
        self._guard = guard
        self.url: str | None = None if run.settings.mode == "offline" else run.url

    @classmethod
    def start(
        cls, cell_json: dict[str, Any], cell_dir: Path, mode: Literal["off", "offline", "online"]
    ) -> "Mirror | NullMirror":
        """Begin or continue the run of a cell in `cell_dir`/wandb/. Online without a key or a server becomes offline,
        a client that is not installed or broken becomes a NullMirror, each with one warning."""
        if mode == "off":
            return NullMirror("tracking is off")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # the client's own crash reports
        try:
            import wandb
        except Exception as error:  # a broken install raises anything from ImportError to TypeError
            return _nothing(f"the wandb package does not import ({_line(error)})")
        guard = _Guard()
        if mode == "online":
            if (run := _online(wandb, guard, cell_json, cell_dir)) is not None:
                return cls(wandb, run, guard)
            guard = _Guard()
        run = guard("init", lambda: _init(wandb, cell_json, cell_dir, "offline"), INIT_S + LIMIT_S)
        return cls(wandb, run, guard) if run is not None else NullMirror(guard.fault or "wandb.init gave no run")

    def log(self, step: int, metrics: dict[str, Any]) -> None:
        """Send one row. `step` is the optimizer step; a name that does not begin with "eval/" gets "train/" in front;
        nulls are left out."""
        row = {
            k if k.startswith("eval/") else f"train/{k}": v for k, v in metrics.items() if v is not None and k != "step"
        }
        self._guard("log", lambda: self._run.log({X_AXIS: step, **row}), LIMIT_S)

    def summary(self, values: dict[str, Any]) -> None:
        """Set the run's summary, the values shown in W&B's table of runs."""
        kept = {k: v for k, v in values.items() if v is not None}
        self._guard("summary", lambda: self._run.summary.update(kept), LIMIT_S)

    def finish(self, exit_code: int = 0) -> None:
        """Close the run; a code other than 0 marks it failed."""
        self._guard("finish", lambda: self._run.finish(exit_code=exit_code), FINISH_S + LIMIT_S)
        if self._guard.fault is not None:
            _teardown(self._wandb, exit_code)


class _Guard:
    """Runs one call at a time in a thread; after the first that raises or outlives its limit it runs nothing more."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.fault: str | None = None
        self._level = logging.DEBUG if quiet else logging.WARNING

    def __call__(
        self, what: str, call: Callable[[], Any], limit: float, *, hint: str = "the cell goes on without W&B"
    ) -> Any:
        """The value of `call()`, or None where it failed or the guard is already shut."""
        if self.fault is not None:
            return None
        done: list[Any] = []
        failed: list[str] = []

        def body() -> None:
            try:
                done.append(call())
            except Exception as error:  # whatever the client or its server does, the cell goes on
                failed.append(_line(error))

        thread = Thread(target=body, name=f"wandb-{what}", daemon=True)
        thread.start()
        thread.join(limit)
        if done:
            return done[0]
        self.fault = f"wandb {what}: {failed[0] if failed else f'no answer within {limit:g} s'}"
        log.log(self._level, "%s; %s", self.fault, hint)
        return None


def _online(wandb: Any, guard: _Guard, cell_json: dict[str, Any], cell_dir: Path) -> Any:
    """The run in online mode, or None where there is no key or no server; says so once."""
    hint = "this cell is mirrored offline; upload it later with: wandb sync"
    where = f"{hint} {cell_dir / 'wandb'}/offline-run-*"

    def key() -> bool:
        wandb.setup(settings=_settings(wandb))
        return wandb.login(prompt=False, verify=False)

    found = guard("login", key, LIMIT_S, hint=where)
    if found is False:
        log.warning("W&B has no API key (WANDB_API_KEY or `wandb login`); %s", where)
    if not found:
        return None
    run = guard("init", lambda: _init(wandb, cell_json, cell_dir, "online"), INIT_S + LIMIT_S, hint=where)
    if run is None:
        _teardown(
            wandb, 1
        )  # the client's service holds the id of a run that did not start; a new one knows nothing of it
    return run


def _teardown(wandb: Any, exit_code: int) -> None:
    """Leave a client that failed: drops its service, and its exit hook, which would wait for that service for ever."""
    guard = _Guard(quiet=True)
    guard("teardown", lambda: wandb.teardown(exit_code), LIMIT_S)


def _init(wandb: Any, cell_json: dict[str, Any], cell_dir: Path, mode: Literal["offline", "online"]) -> Any:
    cell = cell_json["cell"]
    tracking = cell["tracking"]
    run = wandb.init(
        id=cell_json["cell_id"],
        group=cell_json["arm_id"],
        name=_name(cell_json),
        job_type="train",
        tags=tags(cell.get("choices") or {}),
        project=tracking["project"],
        entity=tracking["entity"],
        config={"cell": {**cell, **{k: cell_json[k] for k in ("cell_id", "arm_id", "batch") if k in cell_json}}},
        resume="allow",
        dir=str(cell_dir),
        mode=mode,
        settings=_settings(wandb),
    )
    run.define_metric(X_AXIS)
    run.define_metric("*", step_metric=X_AXIS)
    return run


def _name(cell_json: dict[str, Any]) -> str:
    """What W&B's legends show: the slug, and the choices of the update, which it says in part or not at all."""
    choices = cell_json["cell"].get("choices") or {}
    said = [f"{group}={choices[group]}" for group in ("clip", "estimator") if choices.get(group)]
    return " ".join([cell_json["slug"], *said])


def _settings(wandb: Any) -> Any:
    """Our settings as far as this client knows them: those that begin with x_ are not a stable interface."""
    known = wandb.Settings.model_fields
    for name in SETTINGS.keys() - known.keys():
        log.warning("this wandb has no setting %s; the mirror does without it", name)
    return wandb.Settings(**{name: value for name, value in SETTINGS.items() if name in known})


def tags(choices: dict[str, str]) -> list[str]:
    """The group choices as tags, "reward=random"; cut to what W&B takes."""
    return [f"{group}={choice}"[:TAG] for group, choice in sorted(choices.items())]


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _nothing(why: str) -> NullMirror:
    log.warning("W&B: %s; the cell goes on without it", why)
    return NullMirror(why)
