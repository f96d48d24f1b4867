"""The part of a recipe that says what the network is; no torch here, so that recipes are read quickly."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Three = tuple[float, float, float]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeadRecipe(_Strict):
    """What stands on the backbone: pooling, dense layers with ReLU, the output.

    Attributes:
        pool: ``avg``: the mean over all places; ``flatten``: every place has weights of its own, so the crop's size is
            fixed; ``covariance``: how every two channels vary together over the places (second-order or bilinear
            pooling), each value scaled to mean 0 and deviation 1 over the training; ``root-covariance``: about
            the square root of that matrix over the mean variance of the channels, scaled in the same way.
        input_dropout: Behind the pooling.
        dense: Units of the dense layers before the output; each is followed by a ReLU.
        batch_norm: Between each dense layer and its ReLU.
        dropout: Behind each of these.
        outputs: 1: one unit, sigmoid; 2: two units (real, fake), softmax. The bundle's logit is the second minus the
            first, whose sigmoid is the softmax's second value: both are trained by the same loss.
        kinds: In place of these, one unit for each kind of face: ``real/SOURCE``, ``fake/SOURCE`` or
            ``fake/SOURCE/METHOD`` as the manifest names them, ``fake/self-blend``, ``fake/cross-blend``. The units'
            softmax is over all kinds, the logit is that of all fake kinds together, and the loss is the cross-entropy
            of the kinds added to that of real and fake: what tells a fake in one source need not hold in another. Rows
            and blends that no kind names have the loss of real and fake alone.
    """

    pool: Literal["avg", "flatten", "covariance", "root-covariance"] = "avg"
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    dense: tuple[int, ...] = ()
    batch_norm: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    outputs: Literal[1, 2] = 1
    kinds: tuple[str, ...] = ()

    @field_validator("kinds")
    @classmethod
    def _both(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        labels = [kind.partition("/")[0] for kind in kinds]
        if kinds and (set(labels) != {"real", "fake"} or not all("/" in kind for kind in kinds)):
            raise ValueError("kinds are real/SOURCE, fake/SOURCE or fake/SOURCE/METHOD, at least one of each label")
        if len(set(kinds)) < len(kinds):
            raise ValueError("a kind stands twice")
        return kinds

    @field_validator("dense")
    @classmethod
    def _units(cls, dense: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= units <= 65536 for units in dense):
            raise ValueError("a dense layer has 1 ... 65536 units")
        return dense


class CnnRecipe(_Strict):
    """A plain network: blocks of 3×3 convolutions with ReLU, a 2×2 max pooling after each block.

    Attributes:
        widths: Channels of the blocks.
        convs: Convolutions in a block.
        batch_norm: Between convolution and ReLU.
    """

    widths: tuple[int, ...] = Field(default=(32, 64, 128, 128), min_length=1, max_length=8)
    convs: int = Field(default=1, ge=1, le=8)
    batch_norm: bool = False


class NetworkRecipe(_Strict):
    """The network and what it starts from.

    There are four kinds: with nothing but a backbone, two evidence heads on a network of the EfficientNet family (the
    detector that comes with unmask); with ``head``, any timm network and that head; with ``cnn`` and ``head``, a plain
    network; with ``module``, one of your own.

    Attributes:
        backbone: timm's name of a network with spatial features; not used with ``cnn`` or ``module``.
        weights: ``imagenet``: see ``unmask.train.weights``; ``none``: random; else the path of a file: a torch file
            (read with ``weights_only``) or safetensors, of the whole network or of the backbone; for VGG16 and VGG19
            also Keras' ``.h5``.
        mean, std: Of red, green and blue, where white is 1; what the network gets is (crop / 255 - mean) / std. None
            takes what the weights were made with.
        drop_path: Stochastic depth of the last block.
        stride: Pixels of the crop from one place of the features to the next. The head then reads the backbone's last
            features of this stride, and what follows them is left out; None takes the last of all.
        head: See :class:`HeadRecipe`.
        cnn: See :class:`CnnRecipe`.
        module: ``package.module:name`` of a class or function that gives an ``nn.Module``; the folder the command is
            started in is looked through as well. It takes N×3×S×S normalised crops and returns logits N, N×1 or N×2
            (real, fake), or (logits, map N×h×w).
        arguments: Passed to it by name.
        map_layer: Layer of ``module`` whose features N×C×h×w the evidence map is made of, by its dotted name.
        dropout: Before the coarse one of the two evidence heads.
        fine_channels: Width of the one that reads the features of stride 16.
    """

    backbone: str = "tf_efficientnet_lite0"
    weights: str = "imagenet"
    mean: Three | None = None
    std: Three | None = None
    drop_path: float = Field(default=0.05, ge=0, lt=1)
    stride: int | None = Field(default=None, ge=1, le=64)
    head: HeadRecipe | None = None
    cnn: CnnRecipe | None = None
    module: str | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    map_layer: str | None = None
    dropout: float = Field(default=0.1, ge=0, lt=1)
    fine_channels: int = Field(default=128, ge=8, le=1024)

    @field_validator("std")
    @classmethod
    def _spread(cls, std: Three | None) -> Three | None:
        if std is not None and min(std) <= 0:
            raise ValueError("std must be above 0")
        return std

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.module is not None:
            if self.head or self.cnn:
                raise ValueError("module is a whole network: it goes without head and cnn")
            package, colon, name = self.module.partition(":")
            if not (colon and all(part.isidentifier() for part in [*package.split("."), *name.split(".")])):
                raise ValueError("module is written package.module:name")
            if self.weights == "imagenet":
                raise ValueError("a module of your own has no known ImageNet weights: set weights to none or a file")
        elif self.arguments or self.map_layer:
            raise ValueError("arguments and map_layer go with module")
        if self.stride and (self.head is None or self.cnn):
            raise ValueError("stride goes with a backbone and a head")
        if self.cnn:
            if self.head is None:
                raise ValueError("cnn needs a head")
            if self.weights == "imagenet":
                raise ValueError("cnn has no known ImageNet weights: set weights to none or a file")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of faces that its head tells apart; none without such a head."""
        return self.head.kinds if self.head else ()

    @property
    def two_maps(self) -> bool:
        """Whether it is the network with a fine and a coarse evidence head."""
        return self.head is None and self.module is None

    @property
    def fixed_size(self) -> bool:
        """Whether the crop's size cannot change in the course of a training."""
        return self.head is not None and self.head.pool == "flatten"
