"""Weights of other sizes: what means the same in both nets is taken, and the table says what was not."""

from __future__ import annotations

import pytest
import torch
from small_models import VIDEO, checkpoint, matched, nets, report, same, states, video, whys
from torch import nn

from gadkit.transfer.initial import begin_from
from gadkit.transfer.report import WIDTH
from gadkit_plugins.dcgan.clip import ClipDiscriminator

# --- other sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(4, 8), (8, 4)], ids=["wider", "narrower"])
def test_another_width_takes_the_block_that_both_have(tmp_path, before, after):
    old, new = nets(width=before), nets(width=after)
    fresh = states(new)
    transfer = begin_from(checkpoint(tmp_path / "old", old), new)
    for name in ("generator", "discriminator"):
        theirs, ours = old[name].state_dict(), new[name].state_dict()
        taken = 0
        for key, value in ours.items():
            block = tuple(slice(min(sizes)) for sizes in zip(value.shape, theirs[key].shape, strict=True))
            inside = torch.zeros(value.shape, dtype=torch.bool)
            inside[block] = True
            assert torch.equal(value[block], theirs[key][block]), key
            assert torch.equal(value[~inside], fresh[name][key][~inside]), key
            taken += int(inside.sum()) if key in dict(new[name].named_parameters()) else 0
        found = report(transfer, name)
        assert not {item.what for item in found.items} - {"resized"}
        resized = {item.name: (item.old, item.new) for item in found.items}
        assert resized == {
            key: (tuple(theirs[key].shape), tuple(value.shape))
            for key, value in ours.items()
            if value.shape != theirs[key].shape
        }
        assert found.parameters == taken


def test_more_pixels_take_the_layers_that_mean_the_same(tmp_path):
    """From 16 to 32: one more layer each. The layer that made the pixels makes feature maps in the new net."""
    old, new = nets(), nets(video(32))
    fresh = states(new)
    transfer = begin_from(checkpoint(tmp_path / "old", old), new)
    # 16: Projection, norm, layers.3 to 8x8, norm, layers.6 to the pixels. 32: layers.9 to the pixels.
    assert {item.name for item in report(transfer).items if item.what == "resized"} == {
        *("layers.0.weight", "layers.3.weight"),
        *(f"layers.{n}.{key}" for n in (1, 4) for key in ("weight", "bias", "running_mean", "running_var")),
    }
    assert whys(transfer)["layers.6.weight"] == "a pixel layer in one"
    assert torch.equal(new["generator"].layers[6].weight, fresh["generator"]["layers.6.weight"])
    # The discriminator's first layers look at pixels as before.
    ours, theirs = new["discriminator"].state_dict(), old["discriminator"].state_dict()
    assert {key for key in theirs if torch.equal(ours[key], theirs[key])} == theirs.keys() - {"last.weight"}
    assert torch.equal(ours["last.weight"][:, :8], theirs["last.weight"])


def test_fewer_pixels_do_not_make_a_hidden_layer_the_last(tmp_path):
    old, new = nets(video(32)), nets()
    fresh = states(new)
    transfer = begin_from(checkpoint(tmp_path / "old", old, video(32)), new)
    assert whys(transfer) == {"layers.6.weight": "a pixel layer in one"}
    assert torch.equal(new["generator"].layers[6].weight, fresh["generator"]["layers.6.weight"])
    unused = {item.name for item in report(transfer).items if item.what == "unused"}
    assert unused == {"layers.9.weight", *(key for key in old["generator"].state_dict() if key.startswith("layers.7."))}


@pytest.mark.parametrize(("before", "after"), [("batch", "none"), ("none", "batch")])
def test_layers_that_another_one_moved_are_left(tmp_path, before, after):
    """`layers.6` is the last layer with batch normalisation at 16 pixels, and nothing, or a hidden one, without."""
    old, new = nets(video(32), norm=before), nets(video(32), norm=after)
    fresh = states(new)
    transfer = begin_from(checkpoint(tmp_path / "old", old, video(32)), new)
    for name, kept in (
        ("generator", ["layers.0.weight"]),
        ("discriminator", ["trunk.0.weight", "trunk.2.weight", "last.weight"]),
    ):
        assert sorted(report(transfer, name).loaded) == sorted(kept)
        for key, value in new[name].state_dict().items():
            assert torch.equal(value, (old if key in kept else new)[name].state_dict()[key])
            assert key in kept or torch.equal(value, fresh[name][key])
    both = old["generator"].state_dict().keys() & new["generator"].state_dict().keys()
    assert {whys(transfer)[key] for key in both - {"layers.0.weight"}} == {"another place"}
    assert "layers.6.weight" in both


def test_a_kernel_of_another_size_is_left(tmp_path):
    """96 pixels have a base of 3x3 where 64 have 4x4."""
    old, new = nets(video(64), width=1), nets(video(96), width=1)
    transfer = begin_from(checkpoint(tmp_path / "old", old, video(64)), new)
    assert whys(transfer)["layers.0.weight"] == "another kernel"
    assert whys(transfer, "discriminator")["last.weight"] == "another kernel"


def test_a_linear_layer_is_resized_only_where_the_pixels_are_as_many():
    """Its inputs may be pixels in rows, of which another size has others."""

    def fates(before, after, width):
        old, new = ClipDiscriminator(before, width=4), ClipDiscriminator(after, width=width)
        return {item.name: (item.what, item.why) for item in matched(old, new, before, after).report.items}

    assert fates(VIDEO, VIDEO, 8)["last.weight"] == ("resized", "")
    assert fates(video(64), video(96), 4)["last.weight"] == ("left", "may count pixels")


def test_tensors_whose_sizes_are_no_channels_are_left():
    """The gates of an LSTM are stacked, and groups of channels are sets of their own."""

    def why(old, new, name):
        (found,) = (item for item in matched(old, new).report.items if item.name == name)
        return found.why

    assert why(nn.LSTM(3, 4), nn.LSTM(3, 8), "weight_hh_l0") == "no list of channels"
    assert why(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(8, 8, 3, groups=2), "weight") == "grouped"
    assert why(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(8, 8, 3, groups=8), "weight") == ""
    assert why(nn.Conv2d(4, 4, 3), nn.Conv3d(4, 4, 3), "weight") == "other dimensions"


def test_layers_of_another_kind_with_the_same_bias_are_apart():
    old = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    new = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3))
    found = matched(old, new).report
    assert found.loaded == ("0.weight", "0.bias")
    assert {item.why for item in found.items if item.what == "left"} == {"another place"}


def test_a_table_of_a_layer_is_not_cut():
    """Of a buffer, only lists of channels are: what lies behind the first two dimensions has to be equal."""
    old, new = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
    for net, size in ((old, 5), (new, 3)):
        net.register_buffer("table", torch.randn(4, 4, size))
    assert [(item.name, item.why) for item in matched(old, new).report.items] == [("table", "another kernel")]


def test_a_bias_follows_its_weight():
    old, new = nn.Sequential(nn.Conv2d(8, 3, 3)), nn.Sequential(nn.Conv2d(8, 5, 3))
    assert {item.what for item in matched(old, new).report.items} == {"left"}


def test_integers_do_not_become_numbers():
    old, new = nn.Linear(2, 2), nn.Linear(2, 2)
    for net, value in ((old, torch.arange(3)), (new, torch.zeros(3))):
        net.register_buffer("count", value)
    matching = matched(old, new)
    assert [(item.name, item.why) for item in matching.report.items] == [("count", "int64 for float32")]
    assert torch.equal(matching.state["count"], torch.zeros(3))


# --- classes ---------------------------------------------------------------------------------------------------------


def test_rows_of_classes_follow_their_names(tmp_path):
    old, new = nets(video(classes=3)), nets(video(classes=4))
    fresh = states(new)
    source = checkpoint(tmp_path / "old", old, video(classes=3), classes=("cat", "dog", "eel"))
    transfer = begin_from(source, new, ("eel", "bee", "cat", "fox"))
    for name in ("generator", "discriminator"):
        theirs, ours = (made[name].state_dict()["embedding.weight"] for made in (old, new))
        assert torch.equal(ours[[0, 2]], theirs[[2, 0]])
        assert torch.equal(ours[[1, 3]], fresh[name]["embedding.weight"][[1, 3]])
        (item,) = report(transfer, name).items
        assert (item.name, item.what, item.why) == ("embedding.weight", "resized", "by class")
        rest = sum(p.numel() for p in new[name].parameters()) - ours.numel()
        assert report(transfer, name).parameters == rest + 2 * ours.shape[1]


def test_other_classes_of_the_same_number_are_other_classes(tmp_path):
    old, new = nets(video(classes=2)), nets(video(classes=2))
    fresh = states(new)
    source = checkpoint(tmp_path / "old", old, video(classes=2), classes=("cat", "dog"))
    transfer = begin_from(source, new, ("bee", "fox"))
    assert whys(transfer) == whys(transfer, "discriminator") == {"embedding.weight": "no class of that name"}
    assert torch.equal(new["generator"].embedding.weight, fresh["generator"]["embedding.weight"])
    begin_from(source, new, ("cat", "dog"))
    assert same(states(old), states(new))


def test_classes_where_there_were_none_keep_the_codes_part(tmp_path):
    """The label's embedding stands behind the code, whose rows of the first layer are the old ones."""
    old, new = nets(), nets(video(classes=2))
    fresh = states(new)["generator"]["layers.0.weight"]
    transfer = begin_from(checkpoint(tmp_path / "old", old), new, ("a", "b"))
    ours = new["generator"].layers[0].weight
    assert torch.equal(ours[:6], old["generator"].layers[0].weight)
    assert torch.equal(ours[6:], fresh[6:])
    assert whys(transfer) == {"embedding.weight": "not in the source"}


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_fits_a_terminal_and_counts_what_it_leaves_out(tmp_path):
    old, new = nets(video(64), width=8), nets(video(32), width=16)
    transfer = begin_from(checkpoint(tmp_path / ("long" * 40), old, video(64)), new)
    lines = transfer.lines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("begins with")
    assert lines[0].endswith("longlong, step 5")
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:4]}
    details = [line.split() for line in lines[4:]]
    for net in ("generator", "discriminator"):
        found = report(transfer, net)
        counts = [sum(item.what == what for item in found.items) for what in ("resized", "left", "unused")]
        share = [f"{found.parameters:,}", "of", f"{found.total:,}"]
        assert rows[net] == [str(len(found.loaded)), *share, *map(str, counts)]
        shown = [line for line in details if len(line) > 1 and line[1].startswith(f"{net}.")]
        (more,) = [int(line[1]) for line in details if line[0] == "and" and line[-1] == net]
        assert len(shown) == 5
        assert len(shown) + more == len(found.items)
    assert len(lines) == 4 + 12


def test_names_from_a_file_cannot_write_on_the_terminal(tmp_path):
    old, new = nets(), nets()
    old["generator"].register_buffer("n" * 300 + "\x1b[2J", torch.zeros((1,) * 60))
    lines = begin_from(checkpoint(tmp_path / "old", old), new).lines()
    assert all(line.isprintable() and len(line) <= WIDTH for line in lines)
    assert sum("unused" in line for line in lines) == 2  # the heading, and that tensor
