"""The mean of several checkpoints as a graph, or as weights to start from: often better than each of them.

    python references/default/mean.py network.onnx RUN/best.pt RUN/last.ckpt [--size 192]
    python references/default/mean.py halfway.pt RUN/last.ckpt head.pt

They are of one training, or of several that began alike: others have nothing in common that could be averaged.

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", 2022. Which to take is chosen on validation rows (`card.py --val`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import yaml

from unmask.base.errors import DataError
from unmask.base.files import replacing
from unmask.train.export import export_onnx
from unmask.train.network import build
from unmask.train.recipe import Recipe
from unmask.train.weight_files import read_state


def main() -> None:
    """Write the graph or the weights; the recipe is that of the first checkpoint's run folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="a graph, or weights if it ends in .pt")
    parser.add_argument("files", type=Path, nargs="+", help="best.pt or last.ckpt of a run, or weights of its network")
    parser.add_argument("--size", type=int, help="of a graph: side of the crops in pixels; default: the recipe's")
    given = parser.parse_args()
    try:
        states = [read_state(file) for file in given.files]
    except DataError as error:
        parser.error(str(error))
    first = states[0]
    for file, state in zip(given.files, states, strict=True):
        if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in first.items()}:
            parser.error(f"{file} holds the weights of another network than {given.files[0]}")
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if value.is_floating_point() else value
        for name, value in first.items()
    }
    if given.out.suffix == ".pt":
        with replacing(given.out) as temporary:
            torch.save(mean, temporary)
        print(given.out)
        return
    text = (given.files[0].parent / "recipe.yaml").read_text(encoding="utf-8")
    recipe = Recipe.model_validate(yaml.safe_load(text))
    size = given.size or recipe.crop.size
    network = build(recipe.network.model_copy(update={"weights": "none"}), size)
    network.load_state_dict(mean)
    export_onnx(network.eval(), given.out, size)
    print(given.out)


if __name__ == "__main__":
    main()
