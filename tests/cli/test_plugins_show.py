"""`gadkit plugins show`: names, requirements, provenance, and how large a net is."""

from __future__ import annotations

import json

import pytest
from plugins_fixtures import importable, write_package

OFFERED = """
from gadkit import Component, hookimpl

@hookimpl
def gadkit_generators():
    return [
        Component(name="glow", summary="One map", target="acme_glow_nets:Glow"),
        Component(name="picky", summary="Looks at its numbers", target="acme_glow_nets:Picky"),
        Component(name="lost", summary="Lacks", target="acme_glow_nets:Lost", requires=("no-such-thing>=1", "torch")),
    ]

@hookimpl
def gadkit_losses():
    return [Component(name="glow", summary="Of the same name", target="acme_glow_nets:Loss")]
"""
NETS = '''
import torch
from gadkit import Generator


class Glow(Generator):
    """A linear map.\\x9b2J

    Args:
        width: Of the \\x9b31mcode.
    """

    def __init__(self, video, *, width: int = 4):
        super().__init__(video)
        self.latent_dim = width
        self.map = torch.nn.Linear(width, video.channels * video.height * video.width, bias=False)
        self.fixed = torch.nn.Parameter(torch.zeros(5), requires_grad=False)

    def forward(self, codes, labels=None):
        return codes


class Picky(Glow):
    """Looks at its numbers.

    Args:
        width: Of the code.
    """

    def __init__(self, video, *, width: int = 4):
        super().__init__(video, width=width)
        if width == 7:
            raise RuntimeError("seven is odd")
        self.mean = self.map.weight.mean().item()
'''


@pytest.fixture
def shown(gadkit_command, tmp_path):
    """The command beside a package whose metadata say a lot."""
    site = tmp_path / "site"
    write_package(site, "acme-glow", OFFERED, version="2.0")
    (site / "acme_glow_nets.py").write_text(NETS)
    (site / "acme_glow-2.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: acme-glow\nVersion: 2.0\nLicense-Expression: MIT\nAuthor: Ada\n"
        "Project-URL: Homepage, https://host/glow\nRequires-Dist: torch\nRequires-Dist: no-such-thing\n"
    )
    with importable(site):
        yield lambda *arguments: gadkit_command("plugins", "show", *arguments)


def test_a_name_alone_is_enough_where_one_kind_has_it(shown):
    assert shown("picky").out.startswith("generator acme-glow:picky\n")
    assert shown("acme_glow:picky").out.startswith("generator acme-glow:picky\n")
    assert shown("wgan-gp").out.startswith("penalty gadkit:wgan-gp\n")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["glow"], "`gadkit plugins show generator glow` or `gadkit plugins show loss glow`"),
        (["wgan-gq"], "No kind has a component 'wgan-gq'. Did you mean 'wgan-gp'"),
        (["penalty"], "penalty is a kind: name one of its components too (approx-r1r2, r1, r1r2, wgan-gp)."),
        (["penalty:r1"], "write `gadkit plugins show penalty r1`"),
        (["loss", "hinge", "--frames", "4"], "loss 'gadkit:hinge' has no parameters that a video's size decides"),
        (["recipe", "gad", "--frames", "4"], "recipe 'gadkit:gad' has no parameters"),
        (
            ["picky", "--set", "widht=3"],
            "generator.widht is no setting of generator 'acme-glow:picky'. Did you mean 'wid",
        ),
        (["picky", "--set", "width"], "--set 'width': expected key=value, such as width=128."),
        (["picky", "--set", "width=7"], "cannot be built: RuntimeError: seven is odd"),
        (["generator", "dcgan", "--resolution", "65"], "65"),
    ],
)
def test_errors(shown, arguments, expected):
    assert expected in shown(*arguments).error


def test_provenance_licence_page_needs_and_code(shown):
    lines = dict(line.strip().split(maxsplit=1) for line in shown("picky").out.splitlines()[1:9] if line.strip())
    assert (lines["provider"], lines["licence"], lines["author"]) == ("acme-glow 2.0", "MIT", "Ada")
    assert lines["page"] == "https://host/glow"
    assert lines["requires"] == "torch, no-such-thing (not installed)"
    assert lines["code"].endswith(f"acme_glow_nets.py:{NETS.splitlines().index('class Picky(Glow):') + 1}")


def test_what_is_missing_is_shown_before_the_error(shown):
    done = shown("lost")
    assert "  needs     no-such-thing>=1 (not installed), torch\n" in done.out
    assert "gadkit plugins install 'no-such-thing>=1'" in done.error


@pytest.mark.parametrize("name", ["glow", "picky"])
def test_parameters_are_those_of_the_size(shown, name):
    size = ["--resolution", "6x4", "--frames", "2", "--set", "width=3"]
    out = shown("generator", name, *size).out
    count = 3 * 3 * 4 * 6 + 5
    assert f"{count} parameters (884 B in fp32), {count - 5} of them learn, for 2 frames of 6x4\n" in out
    document = json.loads(shown("generator", name, *size, "--json").out)
    assert document["size"] == {"height": 4, "width": 6, "frames": 2, "parameters": count, "trained": count - 5}
    assert document["provider"]["licence"] == "MIT"


def test_control_characters_of_a_docstring_stay_away_from_terminals(shown):
    for arguments in (["generator", "glow"], ["generator", "glow", "--json"]):
        done = shown(*arguments)
        assert all(letter.isprintable() or letter == "\n" for letter in done.out + done.err)
    document = json.loads(done.out)
    assert "\x9b2J" in document["documentation"]
    assert document["settings"][0]["meaning"] == "Of the \x9b31mcode."


def test_an_assembler_is_counted_for_the_codes_of_a_generator(shown):
    from gadkit import VideoSpec
    from gadkit.registry import get_registry

    size = ["--resolution", "16", "--frames", "4", "--json"]
    find = get_registry().find
    for generator in ("dcgan", "residual"):
        made = find("generator", generator).load()(VideoSpec(height=64, width=64, frames=16))
        net = find("assembler", "lstm").load()(made.video, made.latent_dim, made.motion_dim)
        document = json.loads(shown("assembler", "lstm", "--generator", generator, *size).out)
        assert document["size"]["parameters"] == sum(each.numel() for each in net.parameters())


def test_a_large_net_needs_no_memory(shown):
    done = shown("generator", "glow", "--resolution", "4096", "--set", "width=100000", "--json")
    assert json.loads(done.out)["size"]["parameters"] == 100000 * 3 * 4096 * 4096 + 5  # 20 TB, were it real
