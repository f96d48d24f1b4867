"""What a user reads when something is wrong."""

from __future__ import annotations

import pytest

from unmask.base.errors import MissingExtraError, UnmaskError
from unmask.base.extras import require


def test_an_error_says_which_file_what_is_wrong_and_what_to_do() -> None:
    error = UnmaskError("it is empty", hint="Give another file", path="a.jpg")
    assert str(error) == "a.jpg: it is empty. Give another file"


def test_a_missing_package_names_its_pip_line() -> None:
    assert require("json", "x", "y").dumps([]) == "[]"
    with pytest.raises(MissingExtraError, match=r"pip install 'unmask\[dlib\]'"):
        require("no_such_package.inner", "dlib", "the face backend dlib")
