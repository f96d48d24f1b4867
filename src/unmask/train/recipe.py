"""The recipe: a YAML file that says everything about a training run but where the data lie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from unmask.base.errors import DataError, UsageError
from unmask.faces.types import CropSpec
from unmask.train.keys import did_you_mean, keys_of
from unmask.train.network_recipe import NetworkRecipe

KEPT_SIDE = 2.2
"""Side of what is kept of a training picture over the longer side of the face's box: no margin can be larger."""

_SMALLEST_CROP = 32


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingRecipe(_Strict):
    """What a batch is made of.

    Attributes:
        mode: ``shares``: every batch is half real, half fake, and kinds come by the shares below; ``epoch``: every row
            once an epoch, shuffled, none made anew (the last batch of an epoch is filled up from its beginning).
        balance: What is done when one label has more rows. ``sampling``: both are drawn alike (in ``epoch`` the rows
            of the rarer label come several times); ``weights``: rows come as they are, the loss of the rarer label
            weighs more, n / (2 n_label); ``none``: nothing. The last two need ``mode: epoch``.
        fake: Kind (``source/method``) to its share among the fakes; ``self-blend`` and ``cross-blend`` are made from
            reals on the fly. A kind that is not named gets ``rest`` times the square root of its number of rows.
        real: The same for ``source`` of the real rows.
        rest: See ``fake``; 0 leaves out what is not named.
        paired: Sources whose fakes are drawn together with a real row of the same group.
        pair_share: How often a paired source's fake brings its real along.
    """

    mode: Literal["shares", "epoch"] = "shares"
    balance: Literal["sampling", "weights", "none"] = "sampling"
    fake: dict[str, float] = Field(default_factory=dict)
    real: dict[str, float] = Field(default_factory=dict)
    rest: float = Field(default=1.0, ge=0)
    paired: tuple[str, ...] = ()
    pair_share: float = Field(default=1.0, ge=0, le=1)

    @model_validator(mode="after")
    def _mode_fits(self) -> Self:
        if self.mode == "shares" and self.balance != "sampling":
            raise ValueError(f"balance: {self.balance} needs mode: epoch; by shares a batch is half real, half fake")
        if self.mode == "epoch" and (self.fake or self.real or self.paired):
            raise ValueError("mode: epoch takes every row, without fake, real or paired; --set sampling={mode: epoch}")
        return self


class AugmentRecipe(_Strict):
    """How a face is varied; the same for both labels. Shares are probabilities.

    Attributes:
        margin: Side of the crop over the longer side of the box, from ... to; with ``zoom`` at most :data:`KEPT_SIDE`.
        shift: Largest move of the crop's centre, in box sides.
        zoom: Largest change of the crop's side: times 1 - zoom ... 1 + zoom. Off by default, as ``margin`` varies it.
        rotate: Share turned, by up to ``rotate_degrees`` to either side.
        shear: Share slanted along the rows, by up to ``shear_degrees`` to either side; off by default.
        flip: Share mirrored, left for right.
        encode: Share that is encoded again before the crop is resized; ``encode_after`` after it.
        quality: JPEG and WebP quality, from ... to, 1 ... 100.
        rescale: Share made smaller and enlarged again, down to ``rescale_to`` times the side.
        blur, sharpen, noise, colour, grey, cutout: Shares of each.
    """

    margin: tuple[float, float] = (1.15, 1.55)
    shift: float = Field(default=0.06, ge=0, le=0.5)
    zoom: float = Field(default=0.0, ge=0, lt=1)
    rotate: float = Field(default=0.1, ge=0, le=1)
    rotate_degrees: float = Field(default=10.0, ge=0, le=180)
    shear: float = Field(default=0.0, ge=0, le=1)
    shear_degrees: float = Field(default=10.0, ge=0, le=45)
    flip: float = Field(default=0.5, ge=0, le=1)
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

    @field_validator("quality")
    @classmethod
    def _qualities(cls, quality: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= quality[0] <= quality[1] <= 100:
            raise ValueError("is written from ... to, rising, within 1 ... 100")
        return quality

    @field_validator("margin")
    @classmethod
    def _margins(cls, margin: tuple[float, float]) -> tuple[float, float]:
        if not 0 < margin[0] <= margin[1]:
            raise ValueError("is written from ... to, rising, above 0")
        return margin

    @model_validator(mode="after")
    def _kept(self) -> Self:
        if self.margin[1] * (1 + self.zoom) > KEPT_SIDE:
            raise ValueError(
                f"a margin of {self.margin[1]:g}, zoomed out to {self.margin[1] * (1 + self.zoom):.3g}, is more than "
                f"the {KEPT_SIDE} box sides that are kept of a training picture"
            )
        return self


def _check_side(size: int) -> int:
    # Maps of stride 16 and 32 must tile the crop, or the coarse one could not be laid on the fine one.
    if size % 32:
        raise ValueError(f"{size} is not a multiple of 32")
    return size


class ScheduleRecipe(_Strict):
    """How long and how fast.

    Attributes:
        epochs: Length of the run in passes over the training rows; a validation comes after each. When set, ``samples``
            and ``epoch_samples`` follow from it.
        samples: Length of the run in pictures seen.
        minutes: When set, the schedule also moves on by the clock and reaches its end after so many minutes of
            training at the latest; the run folder records how many samples that were.
        batch: Pictures a step, of all processes together; even.
        optimizer: ``adamw``; ``adam`` (weight decay as part of the gradient); ``sgd`` (Nesterov momentum 0.9).
        lr: Highest learning rate; reached after ``warmup`` of the run.
        lr_schedule: What follows the warm-up. ``cosine``: falls to ``final_lr`` times ``lr``; ``plateau``: times
            ``lr_factor`` after ``lr_patience`` validations in a row that were no better; ``step``: times ``lr_factor``
            after every ``lr_every`` validations; ``constant``. None falls below ``final_lr`` times ``lr``.
        weight_decay: Of weights with two or more dimensions.
        clip: Largest norm of the gradient; 0 leaves it alone.
        smoothing: Label smoothing: targets are ``smoothing / 2`` and ``1 - smoothing / 2``; of kinds they stay 0 and 1.
        ema: Decay of the averaged weights, which are the ones evaluated and exported; 0 takes the weights themselves.
        unfreeze: (at, what) pairs, ``at`` rising: from then on ``all``, ``head`` or ``last-N-convs`` is trained, the
            rest frozen, batch norms with it. ``at`` below 1 is a part of the schedule, from 1 on a number of epochs.
        freeze_norms: Batch norms use and keep the statistics that they start with; those of a head without start
            weights do not.
        epoch_samples: Pictures between two validations.
        checkpoint_minutes: Time between two checkpoints.
        monitor: What the best validation is chosen by, and ``patience`` and ``plateau`` go by: ``score`` (of
            :class:`unmask.train.metrics.Validation`), ``val_loss`` or ``val_accuracy``.
        patience: Stop after so many validations without a better one; 0 never does.
        precision: ``bf16-mixed`` pays only where the processor has AVX-512-BF16 or AMX.
        compile: Use ``torch.compile``.
        accelerator: ``auto`` takes GPUs where there are any.
        processes: On a processor: processes that share each batch; as many as it has cores, each with one thread,
            as one process wastes much of its time in waiting for its threads.
        devices: On GPUs: how many of each machine share each batch; batch norms then use the statistics of all.
        nodes: Machines that share each batch, each with as many processes or GPUs; the command is started on each,
            with MASTER_ADDR, MASTER_PORT and NODE_RANK set (or by SLURM or torchrun).
        sizes: (part, side) pairs, part rising: crops have this side until this part of the schedule is done, and the
            side of ``crop.size`` after the last; none is larger than that. Small crops are cheap and nearly as good to
            start with.
    """

    epochs: int | None = Field(default=None, ge=1)
    samples: int = Field(default=100_000, ge=2)
    minutes: float | None = Field(default=None, gt=0)
    batch: int = Field(default=32, ge=2, multiple_of=2)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(default=5e-4, gt=0)
    warmup: float = Field(default=0.04, ge=0, lt=1)
    lr_schedule: Literal["cosine", "plateau", "step", "constant"] = "cosine"
    lr_factor: float = Field(default=0.5, gt=0, lt=1)
    lr_patience: int = Field(default=2, ge=1)
    lr_every: int = Field(default=5, ge=1)
    final_lr: float = Field(default=0.01, ge=0, le=1)
    weight_decay: float = Field(default=0.03, ge=0)
    clip: float = Field(default=0.0, ge=0)
    smoothing: float = Field(default=0.04, ge=0, lt=0.5)
    ema: float = Field(default=0.998, ge=0, lt=1)
    unfreeze: tuple[tuple[float, str], ...] = ()
    freeze_norms: bool = False
    epoch_samples: int = Field(default=8_000, ge=2)
    checkpoint_minutes: float = Field(default=4.0, gt=0)
    monitor: Literal["score", "val_loss", "val_accuracy"] = "score"
    patience: int = Field(default=0, ge=0)
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    processes: int = Field(default=1, ge=1)
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    sizes: tuple[tuple[float, int], ...] = ()

    @field_validator("unfreeze")
    @classmethod
    def _unfreeze_fits(cls, unfreeze: tuple[tuple[float, str], ...]) -> tuple[tuple[float, str], ...]:
        for _, spec in unfreeze:
            if not re.fullmatch(r"all|head|last-[1-9][0-9]{0,3}-convs?", spec):
                raise ValueError(f"{spec!r} is none of all, head, last-N-convs")
        # Parts of the schedule come before the first whole epoch only by chance: one kind at a time.
        moments = [at for at, _ in unfreeze]
        if moments != sorted(moments) or any(at < 0 for at in moments):
            raise ValueError("the moments do not rise from 0 on")
        if any(0 < at < 1 for at in moments) and any(at >= 1 for at in moments):
            raise ValueError("either all moments are parts of the schedule, below 1, or all are epochs")
        return unfreeze

    @field_validator("sizes")
    @classmethod
    def _sizes_fit(cls, sizes: tuple[tuple[float, int], ...]) -> tuple[tuple[float, int], ...]:
        if [part for part, _ in sizes] != sorted(part for part, _ in sizes):
            raise ValueError("the parts do not rise")
        if any(size < _SMALLEST_CROP for _, size in sizes):
            raise ValueError(f"a side is below {_SMALLEST_CROP} px")
        return sizes

    @model_validator(mode="after")
    def _batch_fits(self) -> Self:
        for name in ("processes", "devices"):
            if self.batch % (2 * self.nodes * getattr(self, name)):
                raise ValueError(f"batch is not a multiple of twice the {name} of all nodes")
        return self


class Recipe(_Strict):
    """A whole recipe; see the parts. ``seed`` fixes every sample: sample i is a function of (seed, i).

    ``data``: what ``unmask data fetch`` gets where a training is started without data.
    ``export``: how the bundle stores the network. ``half``: large weights as 16-bit floats, calculated with as 32-bit
    ones; ``int8``: convolutions and dense layers of the backbone in 8-bit integers; ``fp32``: as trained.
    """

    name: str
    seed: int = 1
    data: str | None = None
    crop: CropSpec = Field(default_factory=lambda: CropSpec.model_validate({}))
    network: NetworkRecipe = NetworkRecipe()
    export: Literal["fp32", "half", "int8"] = "half"
    sampling: SamplingRecipe = SamplingRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.network.two_maps:
            for size in self.sizes:
                _check_side(size)
        if self.network.fixed_size and self.schedule.sizes:
            raise ValueError("network.head.pool: flatten fixes the size of the crops: schedule.sizes must be empty")
        if self.crop.margin > KEPT_SIDE:
            raise ValueError(
                f"crop.margin is {self.crop.margin:g}: at most {KEPT_SIDE} box sides are kept of a training picture"
            )
        return self

    @property
    def sizes(self) -> list[int]:
        """Every side in pixels that a crop has in the course of the training, rising."""
        return sorted({self.crop.size, *(min(size, self.crop.size) for _, size in self.schedule.sizes)})

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return max(1, self.schedule.samples // self.schedule.batch)

    def for_rows(self, rows: int) -> Recipe:
        """With ``schedule.epochs`` turned into samples, for so many training rows; an epoch is whole batches."""
        schedule = self.schedule
        if schedule.epochs is None:
            return self
        epoch = steps_of_epoch(rows, schedule.batch) * schedule.batch
        told = {"samples": epoch * schedule.epochs, "epoch_samples": epoch}
        return self.model_copy(update={"schedule": schedule.model_copy(update=told)})

    def size_at(self, progress: float) -> int:
        """Side of the training crops when this part of the schedule, 0 ... 1, is done."""
        size = next((size for until, size in self.schedule.sizes if progress < until), self.crop.size)
        return min(size, self.crop.size)


def steps_of_epoch(rows: int, batch: int) -> int:
    """Steps in which so many rows have been seen once; the last batch is a whole one too."""
    return max(1, -(-rows // batch))


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
        UsageError: There is no such recipe, or one of the changes is wrong.
        DataError: The file is not valid YAML, or holds a wrong key or value.
    """
    if recipe in packaged_recipes():
        text = (resources.files("unmask.train") / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8")
    else:
        try:
            text = Path(recipe).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            names = packaged_recipes()
            raise UsageError(
                "there is no recipe of this name, nor such a file",
                path=recipe,
                hint=f"{did_you_mean(recipe, names)} Packaged recipes: {', '.join(names)}".strip(),
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
        kind = UsageError if any(_touches(change, key) for change in changes) else DataError
        if first["type"] == "extra_forbidden":
            hint = did_you_mean(key, list(keys_of(Recipe))) or _keys_hint()
            raise kind(f"{key}: there is no such key", path=recipe, hint=hint) from error
        raise kind(f"{key}: {first['msg']}", path=recipe, hint=_keys_hint()) from error


def _touches(change: str, key: str) -> bool:
    """Whether a change may have made what is wrong at ``key``: it is that key, a section of it, or within it."""
    changed = _key_of(change.partition("=")[0])
    return not key or f"{changed}.".startswith(f"{key}.") or f"{key}.".startswith(f"{changed}.")


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {change!r} is not of the form key=value", hint="For instance --set schedule.lr=1e-4")
    *parents, last = _key_of(key).split(".")
    place = content
    for name in parents:
        inner = place.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UsageError(f"--set {change!r}: {name} holds a value, not a section", hint=_keys_hint())
        place = inner
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {change!r}: the value is not valid YAML", hint="Put it into quotes") from error
    # YAML 1.1 reads 1e-4 as text (it wants 1.0e-4); people mean the number.
    if isinstance(parsed, str):
        with suppress(ValueError):
            parsed = float(parsed)
    # Both say how long; what was asked for last counts.
    if parents == ["schedule"] and last == "samples":
        place.pop("epochs", None)
    place[last] = parsed


def _key_of(key: str) -> str:
    """The recipe's own name of a key that other programs call otherwise."""
    if key in _ALIASES:
        return _ALIASES[key]
    if key.partition(".")[0] == "trainer":
        known = ", ".join(f"{theirs} ({ours})" for theirs, ours in _ALIASES.items())
        raise UsageError(f"--set {key}: there is no such key", hint=f"Of Lightning's names these are known: {known}")
    return key


_ALIASES = {
    "trainer.max_epochs": "schedule.epochs",
    "trainer.precision": "schedule.precision",
    "trainer.accelerator": "schedule.accelerator",
    "trainer.devices": "schedule.devices",
    "trainer.num_nodes": "schedule.nodes",
    "trainer.gradient_clip_val": "schedule.clip",
}
"""What users of Lightning call it -> the recipe's key."""


def _keys_hint() -> str:
    return "Sections: " + ", ".join(Recipe.model_fields) + "; their keys are described in unmask.train.recipe"
