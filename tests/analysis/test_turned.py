"""Faces that are turned: how far, and that the report says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from unmask import Detector
from unmask.faces.types import Face

POINTS = np.array([[40, 40], [60, 40], [50, 52], [43, 64], [57, 64]], np.float32)


@given(degrees=st.floats(-180, 180), scale=st.floats(0.1, 20))
def test_roll_is_the_angle_by_which_the_points_are_turned(degrees: float, scale: float) -> None:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    face = Face((0, 0, 100, 100), 0.9, (POINTS @ turn.T * scale).astype(np.float32))
    assert face.roll == pytest.approx(abs(degrees), abs=0.1)


def test_a_box_without_points_has_no_roll() -> None:
    assert Face((0, 0, 10, 10), 1.0).roll is None


@pytest.mark.parametrize(("degrees", "warned"), [(0, False), (15, False), (90, True), (-90, True)])
def test_a_turned_face_is_warned_of(degrees: int, warned: bool) -> None:
    picture = Image.fromarray(astronaut()).rotate(degrees, expand=True, fillcolor=(128, 128, 128))
    report = Detector(device="cpu").analyze(picture)
    assert len(report.faces) == 1
    assert any("turned" in warning for warning in report.warnings) == warned
    assert not warned or report.verdict != "likely_real"
