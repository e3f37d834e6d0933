"""The errors that a user can see. Each has an exit code and may carry a hint.

    SynapseError
    ├── InputError                 2   the manifest, a setting or an argument is wrong
    │   ├── InvalidReference           a coordinate that cannot be read
    │   ├── InvalidManifest            synapse.toml: file, key path, line
    │   ├── InvalidLockfile            synapse.lock: unreadable, newer, edited
    │   ├── InvalidSettings            a setting that no connection can be made with
    │   ├── UnsafeName                 a name that must not become a path
    │   ├── NameClash                  two models for one path
    │   ├── AmbiguousFile              a version with several files that fit
    │   ├── MissingType                a model of an unknown type
    │   ├── NotTrusted                 the manifest wants something that its user has not agreed to
    │   ├── PolicyViolation            a model that the rules of [policy] refuse
    │   └── RefusedFormat              a format or scan result that policy refuses
    ├── AccessDenied               3   token missing or refused, gated, early access
    │   └── RegionRefused              the region of this machine (451): other locations may have the file
    ├── NotFound                   4   the site has no such model or file, or no longer
    ├── NetworkError               5   unreachable, too slow, or an answer that makes no sense
    │   ├── StatusError                an HTTP status that the site's module turns into a sentence
    │   ├── Blocked                    the way out of this machine: a proxy, or a certificate
    │   └── Offline                    a request is needed, and `--offline` prevents it
    ├── IntegrityError             6   the bytes differ from the promised ones
    │   └── WrongContent               a web page or an error document instead of a model
    ├── Conflict                   7   a file that synapse did not place is in the way
    ├── OutOfDate                  8   the lockfile does not match the manifest
    ├── StorageError               9   full, read-only, no permission
    └── Several                    *   some of the above at once

Errors carry plain data only, so that no room has to import another one for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar


class SynapseError(Exception):
    """An error with a message, an exit code and perhaps a hint: the next step.

    `subject` names the model or file that the error is about, if the raiser or a caller above knows it. `model` is
    the name of the model alone.
    """

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None, subject: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.subject = subject
        self._model: str | None = None

    @property
    def model(self) -> str | None:
        """The name of the model, where the subject may name a file of it; the subject if nothing more is known."""
        return self._model or self.subject

    def copy(self) -> Self:
        """Return the same error for another model: the copy can have another `subject`."""
        return _restored(type(self), self.args, self.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let other processes have it: the parameters of a subclass are in its attributes, not in `args`."""
        return _restored, (type(self), self.args, self.__dict__)

    def about(self, subject: str) -> SynapseError:
        """Set the subject, unless a deeper function has set one; returns itself."""
        if self.subject is None:
            self.subject = subject
        return self

    def of(self, model: str) -> SynapseError:
        """Set the model, and the subject unless it names a file of it; returns itself."""
        if self._model is None:
            self._model = model
        return self.about(model)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as `--json` prints it."""
        return {
            "kind": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "model": self.model,
            "exit_code": self.exit_code,
        }

    def __str__(self) -> str:
        return self.message


_Error = TypeVar("_Error", bound=SynapseError)


def _restored(kind: type[_Error], args: tuple[object, ...], values: Mapping[str, Any]) -> _Error:
    """An error with these attributes, made without its constructor."""
    again = kind.__new__(kind, *args)
    again.__dict__.update(values)
    return again


class InputError(SynapseError):
    """The manifest, a setting or an argument is wrong."""

    exit_code = 2


class InvalidReference(InputError):
    """A reference that cannot be read."""


class InvalidManifest(InputError):
    """`synapse.toml` is malformed; the message names file, key path and line where known."""


class InvalidLockfile(InputError):
    """`synapse.lock` is malformed, made by a newer synapse, or edited by hand."""


class InvalidSettings(InputError):
    """A setting, or the file that it names, prevents every connection: the message names it, and no model does."""

    def about(self, subject: str) -> SynapseError:
        """Return itself unchanged: no model is at fault."""
        return self

    def of(self, model: str) -> SynapseError:
        """Return itself unchanged, like `about`."""
        return self


class UnsafeName(InputError):
    """A name that must not become part of a path."""


class NameClash(InputError):
    """Two files want one path."""


class AmbiguousFile(InputError):
    """Several files of one version fit the requirement.

    `candidates` are the lines of the manifest that would each choose one of them, with a comment about the file.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, subject: str | None = None, candidates: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint=hint, subject=subject)
        self.candidates: tuple[str, ...] = tuple(candidates)


class MissingType(InputError):
    """Neither the site nor the file says which type of model this is, and the UI has a folder for each type.

    `archive` says whether the file is an archive: the files in it may say their type.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, subject: str | None = None, archive: bool = False
    ) -> None:
        super().__init__(message, hint=hint, subject=subject)
        self.archive = archive


class RefusedFormat(InputError):
    """A file format, or a scan result, that policy refuses.

    `permission` is the key of the manifest that would allow it, if one would.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, subject: str | None = None, permission: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, subject=subject)
        self.permission = permission


class PolicyViolation(InputError):
    """A locked model breaks a rule of `[policy]` in the manifest."""


class NotTrusted(InputError):
    """A manifest wants something outside its project, and its user has not agreed to it."""


class AccessDenied(SynapseError):
    """The site refuses the file: a token, an agreement or a payment is missing, or it is in early access."""

    exit_code = 3


class RegionRefused(AccessDenied):
    """The site refuses the region of this machine (451), whatever the account. Others may have the file."""

    def __init__(self, message: str, *, hint: str | None = None, subject: str | None = None) -> None:
        usual = (
            "a colleague elsewhere can run `synapse lock` and commit synapse.lock, which pins its models without a "
            "request from here; `synapse bundle` there and `synapse unbundle` here bring the files as well; "
            "`mirrors` names other locations, and `synapse add ./FILE` declares a file that you have"
        )
        super().__init__(message, hint=hint or usual, subject=subject)


class NotFound(SynapseError):
    """The site has no such model or file, or no longer."""

    exit_code = 4


class NetworkError(SynapseError):
    """The network or the server failed."""

    exit_code = 5


class StatusError(NetworkError):
    """A server answered with an error status; `body` is a short, cleaned excerpt of the answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        url: str,
        body: str = "",
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.url = url
        self.body = body
        self.retry_after = retry_after


class Blocked(NetworkError):
    """The way out of this machine is blocked, by a proxy or an untrusted certificate.

    Nothing is known about the server, and another attempt is useless until the user changes something.
    """


class Offline(NetworkError):
    """A request is needed, and the user forbade requests."""


class IntegrityError(SynapseError):
    """The bytes differ from the promised ones."""

    exit_code = 6


class WrongContent(IntegrityError):
    """A web page, an error document or an encoded body arrived instead of the file.

    `url` is the address that answered, `body` the beginning of its answer, where they are known. Neither is shown.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, subject: str | None = None, url: str = "", body: str = ""
    ) -> None:
        super().__init__(message, hint=hint, subject=subject)
        self.url = url
        self.body = body


class Conflict(SynapseError):
    """A file that synapse did not place, or that somebody changed since, is in the way."""

    exit_code = 7


class OutOfDate(SynapseError):
    """The lockfile does not match the manifest, or the tree does not match the lockfile."""

    exit_code = 8


class StorageError(SynapseError):
    """The local disk is full or read-only, or a permission is missing."""

    exit_code = 9


class Several(SynapseError):
    """Several independent failures, which are shown together."""

    def __init__(self, errors: Sequence[SynapseError]) -> None:
        super().__init__("\n".join(error.message for error in errors))
        self.errors: tuple[SynapseError, ...] = tuple(errors)
        codes = {error.exit_code for error in errors}
        self.exit_code: int = codes.pop() if len(codes) == 1 else 1


def raise_all(errors: Sequence[SynapseError]) -> None:
    """Raise the only error, or all of them as `Several`; do nothing if there are none.

    A wrong setting is raised alone: all others may follow from it.
    """
    if wrong := next((error for error in errors if isinstance(error, InvalidSettings)), None):
        raise wrong
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Several(errors)
