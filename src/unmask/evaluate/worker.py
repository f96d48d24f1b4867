"""The other end of :mod:`unmask.evaluate.foreign`: runs somebody else's function, in its own interpreter.

It is run as a script by an interpreter that need not have unmask, so it imports nothing but the standard library and
keeps to what Python 3.8 knows. A question is a JSON line ``{"path": ...}``, an answer a JSON line with ``p`` (a number,
or null for "no face") or ``error``, and the ``seconds`` that the function took.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from typing import Any


def load(file: str, function: str) -> Any:
    """The function of a file, its folder first on the search path."""
    # The first entry is the folder of this script, whose modules would hide the detector's own.
    sys.path[0] = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120
    spec = importlib.util.spec_from_file_location("detector_under_test", file)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = getattr(module, function)
    if not callable(found):
        raise TypeError(f"{function} is not a function")
    return found


def ask(function: Any, path: str) -> dict[str, Any]:
    """One call; what it raises and what is not a score becomes ``error``."""
    started = time.perf_counter()
    try:
        value = function(path)
        seconds = time.perf_counter() - started
        if value is None:
            return {"p": None, "seconds": seconds}
        if isinstance(value, (bool, str, bytes)):
            return {"error": f"gave {value!r:.80}, not a number", "seconds": seconds}
        number = float(value)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "seconds": time.perf_counter() - started}
    if not 0.0 <= number <= 1.0:
        return {"error": f"gave {number!r}, not a p_fake in [0, 1]", "seconds": seconds}
    return {"p": number, "seconds": seconds}


def main() -> None:
    """Answer until there are no more questions."""
    # The pipes are kept for questions and answers alone: what the detector prints goes to stderr, what it reads is
    # empty.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    questions = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        function = load(sys.argv[1], sys.argv[2])
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        raise
    say({"ready": True, "python": sys.version.split()[0]})
    for line in questions:
        say(ask(function, json.loads(line)["path"]))


if __name__ == "__main__":
    main()
