"""Power loss at a call, without pulling a plug (`disk.py`)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from sweep.arena import Golden, Scenario, Verdict, check, child, put_back, recover
from sweep.disk import again, lose, settle
from sweep.shim import Fault
from sweep.zygote import Ended


def power(scenario: Scenario, known: Golden, at: int, careless: bool = False) -> Verdict:
    """Power is lost right before the `at`-th call; after the last one, right after the command ended.

    A `careless` run syncs nothing, to show that this would be noticed.
    """
    stage = Path(scenario.stage)
    place = stage.parent
    put_back(Path(scenario.template), stage)
    settle(place)
    running = child(
        stage, scenario.commands, lambda tell: Fault("stop", at, power=not careless, told=tell), scenario=scenario
    )
    if running.told():
        lose(place)
        os.kill(running.pid, signal.SIGKILL)
        ended = running.end()
    else:
        ended = running.end()
        lose(place)
    again(place)
    problems = [] if ended.signal else [f"after it was done: {p}" for p in _settled(stage, known, scenario, ended)]
    return recover(scenario, known, f"{scenario.name}: power lost at call {at}", ended, problems)


def _settled(stage: Path, known: Golden, scenario: Scenario, ended: Ended) -> list[str]:
    return check(stage, known, lossy=scenario.lossy, final=True) if ended.value is not None else ["it crashed"]
