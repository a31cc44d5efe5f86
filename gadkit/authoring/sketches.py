"""What a new package offers, kind by kind: one line about the component, where its idea is from, and how to try it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sketch:
    """The component of a kind that a new package begins with.

    Attributes:
        summary: One line for `gadkit plugins list`.
        source: The paper; empty for what has none.
        commands: What shows it at work, in seconds and without data of one's own; `@name@` is the component's name.
    """

    summary: str
    source: str
    commands: tuple[str, ...]


def _training(flags: str) -> tuple[str, ...]:
    return (f"gadkit train {flags} --steps 20",)


def _chosen(kind: str) -> tuple[str, ...]:
    return _training(f"--{kind} @name@")


def _measured(by: str) -> tuple[str, ...]:
    return _training(f"--eval-{by} @name@ --eval-every 10")


#: By kind, in the order of `gadkit.component.KINDS`.
SKETCHES: dict[str, Sketch] = {
    "generator": Sketch(
        "nearest-neighbour upsampling and convolutions, frame by frame",
        "Odena et al. 2016, https://doi.org/10.23915/distill.00003",
        _chosen("generator"),
    ),
    "assembler": Sketch("codes on a circle, for videos that loop", "", _chosen("assembler")),
    "discriminator": Sketch(
        "strided convolutions over frames and their changes",
        "Miyato & Koyama 2018, arXiv:1802.05637 (projection of the class)",
        _chosen("discriminator"),
    ),
    "loss": Sketch(
        "least squares near the targets, linear far away",
        "Mao et al. 2017, arXiv:1611.04076 (LSGAN)",
        _chosen("loss"),
    ),
    "penalty": Sketch(
        "the squared gradient at mixtures of real and generated clips",
        "Thanh-Tung et al. 2019, arXiv:1902.03984",
        _chosen("penalty"),
    ),
    "augmentation": Sketch(
        "normal noise on every clip, the same for each of its frames",
        "Sonderby et al. 2017, arXiv:1610.04490 (instance noise)",
        _chosen("augmentation"),
    ),
    "direction": Sketch(
        "alternating steps, clipped to a multiple of the usual norm",
        "Seetharaman et al. 2020, arXiv:2007.14469 (AutoClip)",
        _chosen("direction"),
    ),
    "refiner": Sketch(
        "Metropolis-Hastings steps by the discriminator's logit",
        "Cotter et al. 2013, arXiv:1202.0709; Turner et al. 2019, arXiv:1811.11357",
        (
            "gadkit train --steps 20 --out runs/refined",
            "gadkit sample runs/refined --refiner @name@ --refine 10",
        ),
    ),
    "trainer": Sketch(
        "matches the moments of batches, without a discriminator",
        "Li et al. 2015, arXiv:1502.02761",
        _chosen("trainer"),
    ),
    "dataset": Sketch("drifting gratings, made on the fly", "", _chosen("dataset")),
    "features": Sketch(
        "histograms of gradients, and how much they change",
        "Dalal & Triggs 2005, https://doi.org/10.1109/CVPR.2005.177",
        _measured("features"),
    ),
    "metric": Sketch(
        "whether clips are blurred or too sharp, in decibels",
        "Pech-Pacheco et al. 2000, https://doi.org/10.1109/ICPR.2000.903548",
        _measured("metric"),
    ),
    "protocol": Sketch("64 clips, with spread and floor, in seconds", "", _measured("protocol")),
    "recipe": Sketch(
        "small residual networks in the relativistic pairing game",
        "Huang et al. 2024, arXiv:2501.05441 (R3GAN)",
        _chosen("recipe"),
    ),
    "tracker": Sketch("the newest values in a file for Prometheus", "", _chosen("tracker")),
    "command": Sketch(
        "draws a logged value as a line of bars",
        "",
        ("gadkit train --steps 20 --out runs/drawn", "gadkit @name@ runs/drawn"),
    ),
}
