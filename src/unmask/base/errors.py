"""The one family of errors that a user of unmask meets: what file, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Iterator


def first_line(error: BaseException) -> str:
    """What an error of others says, in one line; its kind where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it, each once: one that was raised while it handled itself stands behind itself."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


class UnmaskError(Exception):
    """Base of every error that unmask raises on purpose.

    Args:
        message: What is wrong, in one sentence without a final full stop.
        hint: What the user can do about it, one sentence or a command line.
        path: The file or argument it is about, as the user gave it.

    Attributes:
        code: A stable, machine-readable name; it is what ``error.code`` of a report holds.
    """

    code = "error"

    def __init__(self, message: str, *, hint: str = "", path: str | None = None) -> None:
        self.message = message
        self.hint = hint
        self.path = path
        super().__init__(message)

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text}. {self.hint}" if self.hint else text


class UsageError(UnmaskError):
    """The call itself is wrong: an option, a combination, a value out of range. Exit code 2."""

    code = "usage"


class MediaError(UnmaskError):
    """A file cannot be read as a picture or a clip."""

    code = "media"


class UnsupportedMediaError(MediaError):
    """The file is of a kind that unmask does not read, or not without an extra."""

    code = "unsupported_media"


class MissingExtraError(UnmaskError):
    """An optional package is not installed; the hint holds the exact pip line."""

    code = "missing_extra"


class BundleError(UnmaskError):
    """A model file is not a bundle, is damaged, or does not agree with its card."""

    code = "bundle"


class DeviceError(UnmaskError):
    """A device asked for by name is not there."""

    code = "device"


class DataError(UnmaskError):
    """A data set, a manifest or a recipe cannot be used as given."""

    code = "data"


class OutputError(UnmaskError):
    """A result cannot be written: the disk is full, a quota is used up, the place has gone."""

    code = "output"


class DownloadError(UnmaskError):
    """A file cannot be fetched, or what came is not what was promised.

    Attributes:
        unreachable: Nobody answered, so that a later try may go well.
    """

    code = "download"

    def __init__(self, message: str, *, hint: str = "", path: str | None = None, unreachable: bool = False) -> None:
        super().__init__(message, hint=hint, path=path)
        self.unreachable = unreachable


class TrainingError(UnmaskError):
    """A training cannot go on: its loss or its gradients are no numbers any more."""

    code = "training"
