from __future__ import annotations

import subprocess
import sys

import pytest

from unmask import __version__
from unmask.cli import main
from unmask.cli.app import _VERBS


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(unmask, option):
    done = unmask(option)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"unmask {__version__}\n", "")


def test_help_lists_every_verb_and_loads_none(unmask):
    done = unmask("--help")
    assert done.returncode == 0
    assert all(verb in done.stdout for verb in _VERBS)
    code = (
        "import sys; from unmask.cli import main; main(['--help']);"
        "heavy = {'numpy', 'onnxruntime', 'PIL', 'av', 'polars', 'torch', 'onnx'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr


def test_without_arguments_there_is_help_and_exit_code_2(unmask):
    done = unmask()
    assert done.returncode == 2
    assert "analyze" in done.stdout


@pytest.mark.parametrize("verb", sorted(_VERBS))
def test_every_verb_has_help(unmask, verb):
    done = unmask(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nalyze", "x.jpg"], ["nalyze", "analyze", "unmask --help"]),
        (["--colour"], ["--colour", "unmask --help"]),
        (["analyze", "--colour", "x.jpg"], ["--colour", "unmask analyze --help"]),
        (["analyze", "--fps", "three", "x.jpg"], ["--fps", "unmask analyze --help"]),
        (["bundle", "shwo"], ["shwo", "show", "unmask bundle --help"]),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(unmask, arguments, words):
    done = unmask(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert all(word in done.stderr for word in words), done.stderr


def test_training_in_the_light_environment_names_the_extra(unmask, tmp_path):
    pytest.importorskip("unmask.cli.train", exc_type=ImportError)
    if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, check=False).returncode == 0:
        pytest.skip("torch is installed here")
    done = unmask("train", "default", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "pip install 'unmask[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_main_gives_the_exit_code(capsys):
    assert main(["--version"]) == 0
    assert main(["devices", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err
