"""Small nets with weights of their own, and old models and runs that they are written as, without training."""

from __future__ import annotations

from dataclasses import asdict

import torch

from gadkit import VideoSpec
from gadkit.checkpoints.store import flatten, write_folder
from gadkit.transfer.matching import Setting, match
from gadkit_plugins.assemblers.walk import Walk
from gadkit_plugins.dcgan.frame import FrameDiscriminator
from gadkit_plugins.dcgan.generator import Generator

VIDEO = VideoSpec(height=16, width=16, frames=4, fps=10.0)
SEEDS = iter(range(1, 10_000))


def video(side=16, classes=0, **others):
    return VideoSpec(**(asdict(VIDEO) | {"height": side, "width": side, "classes": classes} | others))


def nets(spec=VIDEO, width=4, norm="batch", latent_dim=6):
    """Nets with weights of their own, normalisation statistics included."""
    torch.manual_seed(next(SEEDS))
    generator = Generator(spec, latent_dim=latent_dim, motion_dim=2, width=width, max_width=4 * width, norm=norm)
    made = {
        "generator": generator,
        "assembler": Walk(spec, latent_dim, 2),
        "discriminator": FrameDiscriminator(spec, width=width, max_width=4 * width, norm=norm),
    }
    for net in made.values():
        for value in net.state_dict().values():
            value.copy_(torch.rand(value.shape) + 0.5 if value.is_floating_point() else torch.randint(1, 10**6, ()))
    return made


def states(made):
    return {name: {key: value.clone() for key, value in net.state_dict().items()} for name, net in made.items()}


def same(made, other):
    return all(torch.equal(value, other[name][key]) for name, net in made.items() for key, value in net.items())


def description(spec, step=5, classes=()):
    part = {"use": "nobody:unknown", "version": "", "settings": {}}
    document = {"format": 1, "gadkit": "0", "step": step, "recipe": "", "video": asdict(spec), "classes": list(classes)}
    return document | {"generator": part, "assembler": part}


def model(folder, made, spec=VIDEO, step=5, classes=(), more=None):
    """An exported model, or with `more` a checkpoint, whose state those are."""
    weights = {f"{name}.{key}": v for name in ("generator", "assembler") for key, v in made[name].state_dict().items()}
    tensors, documents = {"model.safetensors": weights}, {"config.json": description(spec, step, classes)}
    if more is not None:
        documents["state.json"], tensors["training.safetensors"] = flatten(more)
    write_folder(folder, tensors, documents, {})
    return str(folder)


def checkpoint(folder, made, spec=VIDEO, step=5, classes=(), live=None):
    trained = {name: net.state_dict() for name, net in (made | (live or {})).items()}
    return model(
        folder, made, spec, step, classes, {"step": step, "nets": trained, "training": {"memory": torch.ones(3)}}
    )


def run(folder, *made):
    """A run with a checkpoint at steps 100, 200, ..."""
    folder.mkdir()
    (folder / "config.toml").write_text("format = 1\n")
    for number, each in enumerate(made, 1):
        checkpoint(folder / "checkpoints" / f"step-{number * 100:06d}", each, step=number * 100)
    return folder


def report(transfer, net="generator"):
    (found,) = (each for each in transfer.nets if each.net == net)
    return found


def whys(transfer, net="generator"):
    return {item.name: item.why for item in report(transfer, net).items if item.what == "left"}


def damage(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def matched(old, new, before=VIDEO, after=VIDEO):
    """What fits of one net in another."""
    return match("net", new, old.state_dict(), Setting(before, ()), Setting(after, ()))
