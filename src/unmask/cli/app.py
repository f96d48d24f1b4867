"""The verbs, each loaded when it is called, and the one place where an exception becomes a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from unmask.base.errors import DeviceError, MissingExtraError, UnmaskError, UsageError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

PROGRAM = "unmask"


class _Verb(NamedTuple):
    help: str
    extra: str = ""

    def missing(self, name: str, error: Exception) -> MissingExtraError:
        package = (getattr(error, "name", "") or "a package").partition(".")[0]
        return MissingExtraError(
            f"`unmask {name}` needs the package {package!r}, which is not installed",
            hint=f"Install it with: pip install 'unmask[{self.extra}]'",
        )


_VERBS = {
    "analyze": _Verb("Judge pictures and clips."),
    "play": _Verb("Annotate a clip and open it in a player."),
    "devices": _Verb("List the devices that models can run on."),
    "bundle": _Verb("Show, verify or make a model file with its card."),
    "data": _Verb("Prepare data sets for training and evaluation.", "data"),
    "recipes": _Verb("List and explain the training recipes.", "train"),
    "train": _Verb("Train a detector by a recipe.", "train"),
    "plot": _Verb("Draw the curves of training runs.", "data"),
    "evaluate": _Verb("Measure a model on a prepared data set.", "data"),
    "sample": _Verb("Show random test pictures with truth and verdict.", "data"),
    "calibrate": _Verb("Fit a model's thresholds to a prepared data set.", "data"),
}
"""Verb ``x`` lives in ``unmask.cli.x`` as a Typer application ``app``."""


class LazyGroup(TyperGroup):
    """Lists the verbs without loading them; loads the one that is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name, help=verb.help, callback=None) for name, verb in _VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the base class, with the real command in place of its name card."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_verb(name) if name in _VERBS else command, rest


def load_verb(name: str) -> Any:
    """The command behind a verb."""
    command = typer.main.get_command(import_module(f"unmask.cli.{name}").app)
    command.name = name
    return command


app = typer.Typer(
    cls=LazyGroup,
    add_completion=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from unmask import __version__

        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Tell whether the faces in a picture or a clip are real or machine-made, where and when; or that nobody can tell.

    Start with: [bold]unmask analyze PHOTO.jpg[/bold]
    """


def run(argv: Sequence[str]) -> int:
    """Run the command line and turn whatever happens into an exit code; see :func:`unmask.cli.main`."""
    try:
        result = typer.main.get_command(app).main(
            args=list(argv) or ["--help"], prog_name=PROGRAM, standalone_mode=False
        )
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has closed it (``| head``): end quietly.
        _drop_output()
        return FAILED
    except Exception as error:
        _drop_output()
        return _report(_as_missing_extra(error, argv), debug="--debug" in argv or "UNMASK_DEBUG" in os.environ)
    if not argv:
        return USAGE
    return result if isinstance(result, int) else OK


def say(text: str) -> None:
    """A message for the user: on stderr, so that results can be piped."""
    from unmask.render.text import printable

    # A file's name may hold anything, also what would clear the terminal or forge a line.
    lines = "\n".join(printable(line) for line in text.split("\n"))
    print(f"{PROGRAM}: {lines}", file=sys.stderr, flush=True)


def _report(error: Exception, *, debug: bool) -> int:
    """Tell the user; 2 where the call has to change, 1 where an input or unmask is at fault."""
    # Errors of the command line are known by what they can do: their class lies in a private part of Typer.
    describe = getattr(error, "format_message", None)
    if debug and describe is None:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    if describe is not None:
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else PROGRAM
        text = " ".join(str(describe()).split()).rstrip(".").replace("?.", "?")
        if text:  # a group called without a verb has printed its help already
            say(f"{text} (see `{where} --help`)")
        return USAGE
    if isinstance(error, OSError):
        # A disk that is full or closed is no fault of unmask, whichever verb has met it.
        error = _of_the_system(error)
    if isinstance(error, UnmaskError):
        say(str(error))
        return USAGE if isinstance(error, UsageError | DeviceError | MissingExtraError) else FAILED
    say(f"{type(error).__name__}: {error}. This is a fault of unmask: run it again with --debug, and report it")
    return FAILED


def _of_the_system(error: OSError) -> Exception:
    from unmask.base.files import cannot_write, is_full

    if is_full(error):
        return cannot_write(error)
    if not isinstance(error.filename, str | bytes):
        return error
    reason = (error.strerror or str(error)).lower()
    return UnmaskError(reason, hint="Check the place and its permissions", path=os.fsdecode(error.filename))


def _as_missing_extra(error: Exception, argv: Sequence[str]) -> Exception:
    """A package that only an extra brings is a matter of installing it."""
    name = next((word for word in argv if word in _VERBS), "")
    ours = not isinstance(error, ModuleNotFoundError) or (error.name or "").startswith(PROGRAM)
    if ours or not name or not _VERBS[name].extra:
        return error
    missing = _VERBS[name].missing(name, error)
    missing.__cause__ = error
    return missing


def _drop_output() -> None:
    """What stdout cannot take is dropped: else Python tries again at its exit, and complains in its own words."""
    try:
        sys.stdout.flush()
    except OSError:
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
