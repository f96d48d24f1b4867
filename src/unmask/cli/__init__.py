"""The command line: one thin function a verb."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments without the program's name; default: those of the process.

    Returns:
        The exit code: 0 all done, 1 some inputs failed, 2 wrong usage, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        # Answered before anything else is loaded: scripts ask for it often.
        from unmask import __version__

        print(f"unmask {__version__}")
        return 0
    import gc

    # Loading makes many objects and frees few: looking through them again and again takes a tenth of a short call.
    gc.set_threshold(100_000, 20, 20)
    from unmask.cli.app import run

    try:
        return run(arguments)
    finally:
        # Nor are they looked through at the end, when all of them go. Where torch has brought triton they must be: it
        # complains on stderr of every object that is left.
        if "triton" not in sys.modules:
            gc.freeze()
