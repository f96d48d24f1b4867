"""Only `auto` may choose a device."""

from __future__ import annotations

import pytest

from unmask.base.errors import BundleError, DeviceError
from unmask.base.ort import available_devices, make_session, resolve_device, usable_cpus


def test_auto_chooses_and_names_are_obeyed() -> None:
    assert resolve_device("auto")[0] == available_devices()[0]
    assert resolve_device("cpu") == ("cpu", [("CPUExecutionProvider", {})])
    assert usable_cpus() >= 1


@pytest.mark.parametrize("device", ["gpu", "", "cpu:one", "directml"])
def test_what_is_not_there_is_an_error(device: str) -> None:
    with pytest.raises(DeviceError):
        resolve_device(device)


def test_noise_is_not_a_graph() -> None:
    with pytest.raises(BundleError):
        make_session(b"noise", device="cpu")
