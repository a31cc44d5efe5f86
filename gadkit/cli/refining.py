"""The flags by which samples are refined, of every command that makes some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from gadkit.cli.completion import complete
from gadkit.errors import ConfigError

Steps = Annotated[
    int | None,
    typer.Option(
        min=0, help="Steps that latents are moved along the discriminator's gradient; 0 for none.", show_default=False
    ),
]
Name = Annotated[
    str | None,
    typer.Option(help="What moves them; by default the model's own, or proximal.", autocompletion=complete("refiner")),
]
_SECTION = "refiner."


def refinement_of(
    steps: int | None, name: str | None, sets: Sequence[str]
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """What somebody asked for, as `gadkit.Model.stream` takes it, and the texts of `--set` that are about other things.

    Args:
        steps: Of `--refine`.
        name: Of `--refiner`.
        sets: Of `--set`; those that begin with `refiner.` are the refiner's settings.

    Raises:
        ConfigError: A text is no setting.
    """
    from gadkit.layers import toml_value

    found: dict[str, Any] = {} if steps is None else {"steps": steps}
    if name is not None:
        found["use"] = name
    others = tuple(text for text in sets if not text.strip().startswith(_SECTION))
    for text in sets:
        key, equals, value = text.strip().partition("=")
        if text in others:
            continue
        own = key.strip().removeprefix(_SECTION)
        if not equals or not own:
            raise ConfigError(f"--set {text!r}: expected key=value, such as refiner.weight=5.")
        if own in ("use", "steps"):
            raise ConfigError(f"--set {text!r}: name {own} with {'--refiner' if own == 'use' else '--refine'}.")
        found[own] = toml_value(value.strip())
    return found or None, others
