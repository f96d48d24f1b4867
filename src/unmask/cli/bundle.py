"""``unmask bundle``: model files with a card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unmask.base.errors import UsageError

if TYPE_CHECKING:
    from unmask.model import Card

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Show, verify or make a bundle: an ONNX file that is a whole detector.",
)

_Optional = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A file, https://…, hf://OWNER/NAME/FILE. Default: the one in the package."),
]
_Hash = Annotated[str | None, typer.Option(metavar="HEX", help="The SHA-256 that the file must have.")]


@app.command()
def show(
    model: _Optional = None,
    sha256: _Hash = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole card as JSON.")] = False,
) -> None:
    """Print the card of a bundle: what it is, what it was trained on, its thresholds and its figures."""
    from unmask.model import load_bundle

    bundle = load_bundle(model, device="cpu", threads=1, sha256=sha256)
    if as_json:
        print(bundle.card.model_dump_json(indent=2))
        return
    print("\n".join(_lines(bundle.card, bundle.sha256)))


@app.command()
def verify(
    model: _Optional = None,
    sha256: _Hash = None,
) -> None:
    """Check a bundle: hash, card, inputs and outputs, that no tensor lies in another file, and that it runs.

    Without --sha256 the hash comes from the file MODEL.sha256 where there is one; the packaged bundle is held
    against a constant in the code. Exit code 1 where it is bad.
    """
    from unmask.model import load_bundle

    bundle = load_bundle(model, device="cpu", threads=1, sha256=sha256)
    bundle.check()
    print(f"ok  {bundle.card.name} {bundle.card.version}  sha256 {bundle.sha256}")


@app.command()
def pack(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Input crops uint8 N×3×S×S, outputs logit, map.")],
    card: Annotated[Path, typer.Option(help="The card, as JSON; `unmask bundle show --json` prints an example.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Where to write; default: MODEL.bundle.onnx.")] = None,
) -> None:
    """Put a card into an ONNX file, so that it can be used with --model."""
    from pydantic import ValidationError

    from unmask.model import Card
    from unmask.model import pack as write_bundle

    target = out or model.with_suffix(".bundle.onnx")
    if target.exists():
        raise UsageError("this file exists already", hint="Name another one with --out", path=str(target))
    try:
        parsed = Card.model_validate_json(card.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read the card: {error.strerror}", hint="Check --card", path=str(card)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UsageError(f"not a valid card: {where}: {first['msg']}", hint="Correct it", path=str(card)) from error
    if not model.is_file():
        raise UsageError("there is no such file", hint="Name the ONNX file to pack", path=str(model))
    print(f"{target}  sha256 {write_bundle(model, parsed, target)}")


def _lines(card: Card, sha256: str) -> list[str]:
    rows = [
        ("name", f"{card.name} {card.version}"),
        ("sha256", sha256),
        ("network", card.architecture),
        ("crop", f"{card.crop.size} px, margin {card.crop.margin}, faces by {card.crop.faces!r}"),
        ("prior", f"{card.prior:g} of the inputs are fake"),
        ("domain", card.domain),
        ("terms", card.terms),
        ("made", " ".join(part for part in (card.created, card.code_version, card.machine) if part)),
    ]
    lines = [f"{name:<9}{value}" for name, value in rows if value]
    lines.append("verdicts (on p_fake)")
    for level in card.levels:
        real, fake = level.thresholds.likely_real, level.thresholds.likely_fake
        lines.append(f"  {level.name:<24}likely_real <= {real:.3f}   likely_fake >= {fake:.3f}")
    if card.training:
        lines.append("trained on")
        width = 2 + max(len(one.name) for one in card.training)
        lines.extend(f"  {one.name:<{width}}{one.real} real, {one.fake} fake; {one.terms}" for one in card.training)
    return lines
