"""The model card: the README of an exported model."""

from __future__ import annotations

from typing import Any


def model_card(document: dict[str, Any], longest: int | None = None) -> str:
    """YAML front matter that the Hugging Face Hub reads, what the model is, and how it is used.

    Args:
        document: What the model's `config.json` says.
        longest: The most frames of a video, where there is a limit.
    """
    video = document["video"]
    length = min(3 * video["frames"], longest or 3 * video["frames"])
    packages, files, classes = _providers(document)
    flags = "".join(f" --plugin {file}" for file in files)
    arguments = f", plugins={files!r}" if files else ""
    arguments += "".join(f", {kind}={name}" for kind, name in classes.items() if kind != "refiner")
    needs = [f"It needs its author's plugin file `{file}`." for file in files]
    needs += [f"It needs its author's Python class `{name}`." for name in classes.values()]
    about = f"Classes: {', '.join(document['classes'])}.\n" if document["classes"] else ""
    about += _guidance(document)
    about += "".join(f"{sentence}\n" for sentence in needs)
    command = f"gadkit sample .{flags} --num 16 --grid --length {length}"
    commands = f"{command} --out videos.mp4\n"
    refined = ""
    if "discriminator" in document:
        commands += f"{command} --refine 10 --out refined.mp4\n"
        refined = f"refined = model.sample(num=4, length={length}, seed=0, refine=10)\n"
    return f"""---
library_name: gadkit
tags: [gadkit, video-generation, gan]
---

# A video generator made with gadkit

Generator `{document["generator"]["use"]}`, assembler `{document["assembler"]["use"]}`, {document["step"]} steps.
{video["width"]}×{video["height"]} pixels, trained on clips of {video["frames"]} frames at {video["fps"]:g} Hz.
{about}
```sh
pip install {" ".join(packages)}
{"" if classes else commands}```

```python
import gadkit

model = gadkit.load("."{arguments})
videos = model.sample(num=4, length={length}, seed=0)  # uint8 (4, T, C, H, W)
{refined}```
"""


def _guidance(document: dict[str, Any]) -> str:
    """What a model brings to refine its samples with."""
    if "discriminator" not in document:
        return ""
    text = (
        f"Its discriminator `{document['discriminator']['use']}` is here too: samples can be refined along its gradient"
    )
    return f"{text}, by `{document['refiner']['use']}`.\n" if "refiner" in document else f"{text}.\n"


def _providers(document: dict[str, Any]) -> tuple[list[str], list[str], dict[str, str]]:
    """What a reader of the card needs: packages, plugin files, and classes by kind, each once."""
    packages: list[str] = ["gadkit"]
    files: list[str] = []
    classes: dict[str, str] = {}
    for kind in ("generator", "assembler", "discriminator", "refiner"):
        if kind not in document:
            continue
        provider, _, name = document[kind]["use"].partition(":")
        if provider == "python":
            classes[kind] = name.rpartition(".")[2]
        else:
            (files if provider.endswith(".py") else packages).append(provider)
    return list(dict.fromkeys(packages)), list(dict.fromkeys(files)), classes
