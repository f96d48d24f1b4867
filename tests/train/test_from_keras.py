"""docs/from-keras.md, word for word: a model that Keras trained and saved becomes a bundle that `analyze` runs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut, coffee, rocket

pytest.importorskip("torch", reason="needs the extra [train]")
# Keras itself is only imported in the processes below, which name its backend first.
pytestmark = [
    pytest.mark.train,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras (dependency group keras)"),
]

PAGE = (Path(__file__).parents[2] / "docs" / "from-keras.md").read_text(encoding="utf-8")
SIDE = 96
TRAIN = """
import sys
import keras
import numpy as np

keras.utils.set_random_seed(3)
with np.load(sys.argv[1]) as file:
    crops, labels = file["crops"], file["labels"]
layers = keras.layers
model = keras.Sequential([
    keras.Input((96, 96, 3)),
    layers.Rescaling(1 / 255),
    layers.Conv2D(8, 3, strides=2, activation="relu"),
    layers.Conv2D(16, 3, strides=2, activation="relu"),
    layers.Conv2D(16, 3, strides=2, activation="relu", name="last_conv"),
    layers.GlobalAveragePooling2D(),
    layers.Dropout(0.1),
    layers.Dense(1, activation="sigmoid"),
])
model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
model.fit(crops, labels, batch_size=16, epochs=6, verbose=0)
model.save("model.keras")
np.save("said.npy", model.predict(crops, verbose=0)[:, 0])
"""


def crops_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Places of three photographs; every second one as coarse and as green as a bad generator might draw it."""
    rng = np.random.default_rng(0)
    crops, labels = [], []
    for number in range(96):
        picture = (astronaut(), coffee(), rocket())[number % 3]
        y, x = (int(rng.integers(0, side - SIDE)) for side in picture.shape[:2])
        crop = Image.fromarray(picture[y : y + SIDE, x : x + SIDE])
        fake = number // 3 % 2
        if fake:
            crop = crop.resize((SIDE // 4, SIDE // 4)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        crops.append(np.asarray(crop) // np.array([2, 1, 2] if fake else [1, 1, 1], np.uint8))
        labels.append(fake)
    return np.stack(crops), np.asarray(labels)


def block(kind: str, number: int = 0) -> str:
    """What stands in a fenced block of the page."""
    blocks: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return [text for name, text in blocks if name == kind][number]


def test_the_page_leads_from_keras_to_a_verdict(tmp_path: Path) -> None:
    environment = os.environ | {"KERAS_BACKEND": "torch", "KERAS_HOME": str(tmp_path / "home")}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    crops, labels = crops_and_labels()
    np.savez(tmp_path / "crops.npz", crops=crops, labels=labels)
    run(sys.executable, "-c", TRAIN, "crops.npz")
    run(sys.executable, "-c", block("python"))
    (tmp_path / "card.json").write_text(block("json"), encoding="utf-8")
    for line in block("", 0).strip().splitlines():
        assert line.startswith("unmask bundle ")
        run(sys.executable, "-m", *line.split())

    from unmask.model import load_bundle

    bundle = load_bundle(tmp_path / "keras.bundle.onnx", device="cpu")
    logit, evidence = bundle.score(crops)
    said = np.load(tmp_path / "said.npy")
    assert said[labels == 1].mean() - said[labels == 0].mean() > 0.3, "Keras has learnt nothing"
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(said, abs=1e-4)
    rest = logit - evidence.mean((1, 2))
    assert rest == pytest.approx(np.full(len(rest), rest[0]), abs=1e-4)

    Image.fromarray(astronaut()).save(tmp_path / "photo.png")
    printed = run(sys.executable, "-m", "unmask", "analyze", "photo.png", "--model", "keras.bundle.onnx", "--json")
    report = json.loads(printed)
    assert report["model"]["name"] == "my-keras-model"
    assert len(report["faces"]) == 1
    assert 0 <= report["p_fake"] <= 1
    assert report["verdict"] in ("likely_real", "likely_fake")  # its thresholds meet at 0.5
