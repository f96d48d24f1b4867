"""The mean of several checkpoints of one training as a graph: often better than each of them.

    python references/default/mean.py network.onnx RUN/best.pt RUN/last.ckpt

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", 2022. Which to take is chosen on validation rows (`card.py --val`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import yaml
from torch import Tensor

from unmask.train.export import export_onnx
from unmask.train.network import build
from unmask.train.recipe import Recipe


def averaged_weights(file: Path) -> dict[str, Tensor]:
    """The averaged weights of a ``best.pt`` or of a checkpoint."""
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    averaged = {name.removeprefix("ema."): value for name, value in state.items() if name.startswith("ema.")}
    return averaged or state


def main() -> None:
    """Write the graph; the recipe is that of the first checkpoint's run folder."""
    out, files = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    recipe = Recipe.model_validate(yaml.safe_load((files[0].parent / "recipe.yaml").read_text(encoding="utf-8")))
    states = [averaged_weights(file) for file in files]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.dtype.is_floating_point else value
        for name, value in states[0].items()
    }
    network = build(recipe.network.model_copy(update={"weights": "none"}), recipe.crop.size)
    network.load_state_dict(mean)
    export_onnx(network.eval(), out, recipe.crop.size)
    print(out)


if __name__ == "__main__":
    main()
