"""Cluster: the same work on the workers of a Dask scheduler, which see the files under the same paths.

Files are only read there, and hashed or uploaded: no file is written or moved. Findings are judged here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from synapse_sync.engine.parallel import Each
from synapse_sync.errors import InputError, NetworkError, StorageError
from synapse_sync.version import __version__

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

#: Seconds in which the scheduler has to answer.
PATIENCE = 30.0
#: Items of one task at most: a task costs a millisecond, and a task of a killed worker is done again. Each worker
#: gets several tasks, so that none works alone at the end.
_TASK, _TASKS_EACH = 16, 4
_INSTALL = f"install synapse-sync {__version__} on every worker, in the environment of its Dask"


def cluster(address: str) -> Each:
    """Work on the workers of the scheduler at `address` (`tcp://host:8786`).

    Work of a worker that disappears is done again by another one; each result arrives once. Raises `InputError`
    where `distributed` is not installed or the workers have another synapse. Raises `NetworkError` without an
    answer, and where every worker ends at the same work. Raises `StorageError` for a file that a worker cannot
    read.
    """
    try:
        import distributed  # noqa: F401 - an extra, and a second to import
    except ImportError as error:
        raise InputError(
            "--dask needs the package `distributed`", hint="install it: pip install 'synapse-sync[dask]'"
        ) from error

    def each(do: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        if items:
            with _connected(address) as client:
                _check_workers(client, address)
                yield from _results(client, do, items)

    return each


def _connected(address: str) -> Client:
    from distributed import Client

    try:
        return Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise NetworkError(
            f"no Dask scheduler answers at `{address}`", hint="`dask scheduler` starts one, and prints its address"
        ) from error


def _check_workers(client: Client, address: str) -> None:
    """Raise `InputError` unless there are workers, and all of them have this version of synapse."""
    try:
        found = set(client.run(_version).values())
    except Exception as error:
        raise InputError(f"a Dask worker at `{address}` has no synapse: {error}", hint=_INSTALL) from error
    if not found:
        raise InputError(
            f"the Dask scheduler at `{address}` has no worker", hint=f"`dask worker {address}` starts one"
        )
    if found != {__version__}:
        raise InputError(f"the Dask workers have synapse {', '.join(sorted(found))}", hint=_INSTALL)


def _version() -> str:
    return __version__


def _do_all(do: Callable[[T], R], items: Sequence[T]) -> list[R]:
    return [do(item) for item in items]


def _results(client: Client, do: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[T, R]]:
    """Each item with its result, as tasks end."""
    from distributed import KilledWorker, as_completed

    threads = sum(client.nthreads().values())
    length = max(1, min(_TASK, len(items) // max(1, _TASKS_EACH * threads)))
    parts = [items[start : start + length] for start in range(0, len(items), length)]
    tasks = {client.submit(_do_all, do, part, pure=False): part for part in parts}
    for task in as_completed(list(tasks)):
        try:
            answers = task.result()
        except OSError as error:
            raise StorageError(
                f"a Dask worker cannot read {error.filename}: {error.strerror}",
                hint="the workers must see store and trees under the same paths as this machine",
            ) from error
        except KilledWorker as error:  # its text names the task alone
            raise NetworkError(
                "the Dask workers end while they work at a part of the files: each that tried it was gone",
                hint="their logs say why; often their memory limit is too low",
            ) from error
        yield from zip(tasks.pop(task), answers, strict=True)
        task.release()
