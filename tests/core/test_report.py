"""The report: failures gathered, one exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synapse_sync.core.plan import Action, Plan, Verb
from synapse_sync.core.report import Outcome, Report, conflict_error
from synapse_sync.core.size_text import size_text
from synapse_sync.errors import Conflict, IntegrityError, NetworkError, SynapseError


def action(verb: Verb = Verb.PLACE, path: str = "a") -> Action:
    return Action(
        verb=verb, model="m", sha256="0" * 64, size=1, target="t", path=path, reason="not placed by synapse"
    )


def report(*errors: SynapseError | None) -> Report:
    return Report(plan=Plan(), outcomes=tuple(Outcome(action=action(), error=error) for error in errors))


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ((), 0),
        ((None, None), 0),
        ((None, NetworkError("x")), 5),
        ((NetworkError("x"), NetworkError("y")), 5),
        ((NetworkError("x"), IntegrityError("y")), 1),
        ((Conflict("x"), None), 7),
    ],
)
def test_the_exit_code_says_it_in_one_number(errors: tuple[SynapseError | None, ...], code: int) -> None:
    assert report(*errors).exit_code == code


def test_one_failure_that_hits_many_actions_is_told_once_and_in_order() -> None:
    later, same = NetworkError("b"), NetworkError("b")
    first = NetworkError("z")
    assert report(first, later, None, same).errors == (first, later)


def test_two_models_that_fail_in_the_same_words_are_two_failures() -> None:
    errors = [NetworkError("a page instead of the file", subject=f"m{number}") for number in (1, 2)]
    found = report(errors[0], errors[0], errors[1])
    assert found.errors == tuple(errors) and found.summary() == "2 failed"


def test_done_counts_what_succeeded() -> None:
    outcomes = (
        Outcome(action=action(Verb.PLACE)),
        Outcome(action=action(Verb.REPLACE)),
        Outcome(action=action(Verb.PRUNE)),
        Outcome(action=action(Verb.PLACE), error=NetworkError("x")),
    )
    assert Report(plan=Plan(), outcomes=outcomes).done(Verb.PLACE, Verb.REPLACE) == 2


def test_a_conflict_names_path_target_reason_and_a_way_out() -> None:
    error = conflict_error(action(Verb.CONFLICT, "models/x"))
    assert error.message == "`models/x` in target `t`: not placed by synapse; left as it is"
    assert "--force" in (error.hint or "")
    assert (error.subject, error.exit_code) == ("m", 7)


def test_another_name_is_advised_only_where_it_helps() -> None:
    """A root that is a file, or a link to nothing on the way, bars every name."""
    barred = conflict_error(replace(action(Verb.CONFLICT, "models/x"), movable=False))
    assert barred.hint == "move or rename what is in the way, or name other `targets` for the model"
    assert "`filename`" in (conflict_error(action(Verb.CONFLICT, "models/x")).hint or "")


def test_what_remotes_had_is_counted_apart() -> None:
    outcomes = tuple(
        Outcome(action=action(verb), remote=remote)
        for verb in (Verb.FETCH, Verb.SALVAGE)
        for remote in (None, "s3://models/team", "/mnt/models")
    )
    report = Report(plan=Plan(), outcomes=outcomes, fetched_bytes=3000, remote_fetched_bytes=1000)
    size = outcomes[0].action.size
    assert report.remote_bytes == report.to_dict()["remote_bytes"] == 4 * size
    assert report.summary() == (
        f"1 downloaded (2.0 kB), 4 from a remote ({size_text(4 * size)}), 1 found on this machine"
    )


@pytest.mark.parametrize(("count", "words"), [(1, "1 preview or sidecar"), (2, "2 previews and sidecars")])
def test_one_file_beside_the_weights_is_not_several(count: int, words: str) -> None:
    outcomes = tuple(Outcome(action=action(Verb.WRITE, str(number))) for number in range(count))
    assert Report(plan=Plan(), outcomes=outcomes).summary() == words
