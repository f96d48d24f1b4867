"""The floor: the least that any program must do to judge one picture, as a plain script without unmask.

Imports, both onnxruntime sessions, decode, one detection at 640 px, one crop scored. It takes no care of orientation,
colour profiles, broken files, other sizes of faces, calibration or verdicts; unmask's overhead is measured against it.

    python benchmarks/bare.py FACES.onnx BUNDLE.onnx PICTURE [STEPS]

With STEPS the work after the imports and sessions is repeated, and the median of a step in milliseconds is printed.
"""

import statistics
import sys
import time

import numpy as np
import onnxruntime as ort
from PIL import Image

LONG_SIDE = 640
MARGIN = 1.3


def sessions(faces: str, bundle: str) -> tuple[ort.InferenceSession, ort.InferenceSession]:
    """Load both networks."""
    options = ort.SessionOptions()
    # As onnxruntime comes, idle threads spin; on a busy machine that makes the floor slower, not faster.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    first, second = (ort.InferenceSession(path, options, ["CPUExecutionProvider"]) for path in (faces, bundle))
    return first, second


def detect(net: ort.InferenceSession, picture: Image.Image) -> tuple[float, float, float, float]:
    """The box of the most certain face, in pixels of the picture."""
    scale = min(1.0, LONG_SIDE / max(picture.size))
    width, height = (round(side * scale) for side in picture.size)
    small = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    tensor = np.zeros((1, 3, -(-height // 32) * 32, -(-width // 32) * 32), np.float32)
    tensor[0, :, :height, :width] = small[:, :, ::-1].transpose(2, 0, 1)
    names = [f"{kind}_{stride}" for stride in (8, 16, 32) for kind in ("cls", "obj", "bbox")]
    outputs = net.run(names, {net.get_inputs()[0].name: tensor})
    best, box = 0.0, (0.0, 0.0, float(width), float(height))
    for level, stride in enumerate((8, 16, 32)):
        score, objectness, offsets = (outputs[level * 3 + i][0] for i in range(3))
        certain = (score * objectness).reshape(-1)
        cell = int(certain.argmax())
        if certain[cell] > best:
            best = float(certain[cell])
            x, y, w, h = offsets[cell]
            row, column = divmod(cell, tensor.shape[3] // stride)
            half = np.exp([w, h]) * stride / 2
            box = ((column + x) * stride, (row + y) * stride, *half)
    x, y, half_w, half_h = (value / scale for value in box)
    return x - half_w, y - half_h, x + half_w, y + half_h


def step(faces: ort.InferenceSession, bundle: ort.InferenceSession, path: str) -> float:
    """Decode, find, cut out, score: the logit."""
    picture = Image.open(path).convert("RGB")
    x0, y0, x1, y1 = detect(faces, picture)
    half = max(x1 - x0, y1 - y0) * MARGIN / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    size = bundle.get_inputs()[0].shape[2]
    crop = picture.resize((size, size), Image.Resampling.BILINEAR, box=(x - half, y - half, x + half, y + half))
    pixels = np.asarray(crop).transpose(2, 0, 1)[None]
    return float(bundle.run(["logit"], {"crops": np.ascontiguousarray(pixels)})[0].ravel()[0])


def main() -> None:
    """One picture, or the time of a step."""
    faces, bundle = sessions(sys.argv[1], sys.argv[2])
    if len(sys.argv) == 4:
        print(step(faces, bundle, sys.argv[3]))
        return
    times = []
    for _ in range(int(sys.argv[4])):
        started = time.perf_counter()
        step(faces, bundle, sys.argv[3])
        times.append(time.perf_counter() - started)
    print(statistics.median(times[len(times) // 5 :]) * 1000)


if __name__ == "__main__":
    main()
