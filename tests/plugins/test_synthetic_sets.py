"""The sets made on the fly: their frames show what their factors say, and are functions of seed and index alone."""

import hashlib
import json
import math
import subprocess
import sys
from itertools import zip_longest

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from gadkit import ConfigError, DataError, Source
from gadkit.data.stream import open_stream
from gadkit.video.geometry import Geometry
from gadkit_plugins.data.synthetic.bouncing_shapes import COLOURS, SHAPES, BouncingShapes
from gadkit_plugins.data.synthetic.glyphs import digit
from gadkit_plugins.data.synthetic.motion import bounced
from gadkit_plugins.data.synthetic.moving_digits import MovingDigits
from gadkit_plugins.data.synthetic.raster import Outline, cover

BOTH = pytest.mark.parametrize("kind", [MovingDigits, BouncingShapes])


def video(dataset, source):
    return np.stack(list(dataset.open(source).frames))


def simulated(start, velocity, steps, low, high):
    """Position and direction after each unit of time, from bounce to bounce."""
    position, states = start, [(start, velocity)]
    for _ in range(steps):
        left = 1.0
        while left > 0 and velocity:
            wall = high if velocity > 0 else low
            needed = (wall - position) / velocity
            if needed > left:
                position += velocity * left
                break
            position, velocity, left = wall, -velocity, left - needed
        states.append((position, velocity))
    return np.array(states).T


def bodies(dataset, indices):
    """Index, factors and frames of videos."""
    sources = dataset.sources()
    for index in indices:
        yield sources[index], dataset.factors(sources[index]), video(dataset, sources[index])


def centre(ink):
    """(x, y) of the centre of mass of `(H, W)`, the first pixel's centre at (.5, .5)."""
    y, x = np.indices(ink.shape) + 0.5
    return np.array([(x * ink).sum(), (y * ink).sum()]) / ink.sum()


def ink_of(dataset, frames, factors):
    """What share of each pixel the one body covers, from its colour and the ground's."""
    ground = frames[0, 0, 0].astype(float) * 0 + (0 if isinstance(dataset, MovingDigits) else 255)
    colour = np.array([255.0] * 3) if isinstance(dataset, MovingDigits) else factors["rgb"][0].astype(float)
    return (frames - ground).sum(-1) / (colour - ground).sum()


# Motion.


@given(
    low=st.floats(-50, 50),
    room=st.floats(0.5, 100),
    part=st.floats(0, 1),
    velocity=st.floats(-130, 130).filter(lambda v: abs(v) > 1e-3),
)
def test_bouncing_equals_a_simulation(low, room, part, velocity):
    high, start = low + room, low + part * room
    expected, direction = simulated(start, velocity, 40, low, high)
    position, speed = bounced(start, velocity, np.arange(41), low, high)
    assert np.allclose(position, expected, atol=1e-6)
    away = (expected - low > 1e-6) & (high - expected > 1e-6)
    assert np.array_equal(np.sign(speed)[away], np.sign(direction)[away])
    assert position.min() >= low - 1e-9
    assert position.max() <= high + 1e-9


def test_no_room_to_move_is_standing_still():
    position, velocity = bounced([3.0, 3.0], [2.0, -1.0], np.arange(3)[:, None], 3.0, 3.0)
    assert (position == 3).all()
    assert (velocity == 0).all()


@BOTH
def test_velocity_is_the_change_of_position(kind):
    dataset = kind(own="none", length=40)
    factors = dataset.factors(dataset.sources()[5])
    steps, velocity = np.diff(factors["position"], axis=0), factors["velocity"]
    free = velocity[1:] == velocity[:-1]  # no bounce between
    assert 0.5 < free.mean() < 1
    assert np.allclose(steps[free], velocity[:-1][free])
    assert (np.abs(steps) <= np.abs(velocity[:-1]) + 1e-9).all()


# Frames show the factors.


@pytest.mark.parametrize(
    ("dataset", "indices"),
    [
        (MovingDigits(), range(40)),
        (MovingDigits(size=11.3, speed=7.7, height=32, width=48), range(20)),
        (BouncingShapes(shapes=1), range(24)),
        (BouncingShapes(shapes=1, turn=True, height=48, width=40), range(24)),
    ],
)
def test_bodies_are_where_their_factors_say(dataset, indices):
    shown = set()
    for source, factors, frames in bodies(dataset, indices):
        ink = ink_of(dataset, frames, factors)
        found = np.stack([centre(frame) for frame in ink])
        assert np.abs(found - factors["position"][:, 0]).max() < 0.1, source
        mass = ink.sum((1, 2))
        assert np.ptp(mass) < 0.05 * mass.mean()  # whole at every wall
        shown.add(source.label)
    assert len(shown) >= min(len(dataset.classes()), 8)


@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_and_colours_are_what_the_factors_say(shape):
    dataset = BouncingShapes(shapes=1, turn=True, size=40, height=96, width=96, length=3)
    source = next(source for source in dataset.sources() if source.label == shape)
    factors, frames = dataset.factors(source), video(dataset, source)
    radius = factors["size"][0] / 2
    corner = math.pi / 5
    areas = {"circle": math.pi, "square": 2.0, "triangle": 0.75 * math.sqrt(3), "star": 10 * 0.225 * math.sin(corner)}
    ink = ink_of(dataset, frames, factors)
    assert ink[1].sum() == pytest.approx(areas[shape] * radius**2, rel=0.02)
    x, y = factors["position"][1, 0].astype(int)
    assert tuple(frames[1, y, x]) == COLOURS[str(factors["colour"][0])] == tuple(factors["rgb"][0])


def test_edges_are_smooth_as_a_supersampled_drawing():
    fine = 16
    corners = np.array([[9.0, 1.5], [-6.0, 8.0], [-2.0, -9.5]])
    place = np.array([[15.3, 14.8]])
    drawn = np.zeros((32, 32))

    def put(frame, rows, columns, coverage):
        drawn[rows, columns] = coverage

    cover(Outline(corners), place, np.array([0.7]), 32, 32, put)
    c, s = math.cos(0.7), math.sin(0.7)
    turned = corners @ np.array([[c, s], [-s, c]]) + place
    image = Image.new("L", (32 * fine, 32 * fine))
    ImageDraw.Draw(image).polygon([tuple(point * fine - 0.5) for point in turned], fill=255)
    exact = np.asarray(image).reshape(32, fine, 32, fine).mean((1, 3)) / 255
    assert ((exact > 0.01) & (exact < 0.99)).sum() > 40
    assert np.abs(drawn - exact).max() < 0.3  # at the corners
    assert np.abs(drawn - exact).sum() / exact.sum() < 0.02


def test_digits_are_told_apart():
    """Each digit on the same place: no two cover the same pixels, and each is one height."""
    drawn = []
    for number in range(10):
        canvas = np.zeros((40, 40))

        def put(frame, rows, columns, coverage, canvas=canvas):
            canvas[rows, columns] = coverage

        glyph = digit(number, 30)
        left, top, right, bottom = glyph.extents
        assert top + bottom == pytest.approx(30)
        cover(glyph, np.array([[20 + (left - right) / 2, 20 + (top - bottom) / 2]]), None, 40, 40, put)
        drawn.append(canvas)
    for one in range(10):
        for other in range(one):
            overlap = np.minimum(drawn[one], drawn[other]).sum() / np.maximum(drawn[one], drawn[other]).sum()
            assert overlap < 0.8, (one, other)


def test_later_shapes_lie_in_front():
    dataset = BouncingShapes(shapes=6, own="none", length=8, size=24)
    for _, factors, frames in bodies(dataset, range(6)):
        last = factors["position"][:, -1].astype(int)
        for frame, (x, y) in zip(frames, last, strict=True):
            assert tuple(frame[y, x]) == tuple(factors["rgb"][-1])


# Functions of seed and index alone.


@BOTH
def test_same_index_same_video(kind):
    dataset = kind(seed=3, length=20, own="none")
    sources = dataset.sources()
    alone = {index: video(dataset, sources[index]) for index in (0, 7, 2**31 - 1)}
    opened = [kind(seed=3, length=20, own="none").open(sources[index]).frames for index in (2**31 - 1, 7, 0)]
    mixed = list(zip_longest(*opened))
    for column, index in enumerate((2**31 - 1, 7, 0)):
        assert np.array_equal(np.stack([row[column] for row in mixed]), alone[index])
    longer = kind(seed=3, length=37, own="none")
    assert np.array_equal(video(longer, sources[7])[:20], alone[7])
    frames = [alone[index].tobytes() for index in alone]
    assert len(set(frames)) == 3
    assert video(kind(seed=4, length=20, own="none"), sources[7]).tobytes() != frames[1]


@BOTH
def test_same_video_in_another_process(kind):
    program = (
        f"import hashlib, json; from {kind.__module__} import {kind.__name__} as kind\n"
        "dataset = kind(seed=5)\n"
        "sources = map(dataset.sources().__getitem__, (9, 4))\n"
        "videos = [(each.label, b''.join(f.tobytes() for f in dataset.open(each).frames)) for each in sources]\n"
        "print(json.dumps([(label, hashlib.sha256(frames).hexdigest()) for label, frames in videos]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    dataset = kind(seed=5)
    here = [
        [source.label, hashlib.sha256(video(dataset, source).tobytes()).hexdigest()]
        for source in map(dataset.sources().__getitem__, (9, 4))
    ]
    assert json.loads(done.stdout) == here


@BOTH
def test_the_first_bodies_do_not_depend_on_how_many_follow(kind):
    name = "digits" if kind is MovingDigits else "shapes"
    few, many = (kind(own="none", **{name: count}) for count in (2, 5))
    source = few.sources()[11]
    assert np.array_equal(few.factors(source)["position"], many.factors(source)["position"][:, :2])


# Sources and classes.


@BOTH
def test_sources_are_made_when_asked_for(kind):
    sources = kind().sources()
    assert len(sources) == 2**31
    assert sources[-1] == sources[2**31 - 1]
    assert sources[-1].name == "2147483647"
    assert [source.name for source in sources[10:16:3]] == ["0000000010", "0000000013"]
    with pytest.raises(IndexError):
        sources[2**31]


@pytest.mark.parametrize(
    ("dataset", "classes"),
    [
        (MovingDigits(digits=3), [str(each) for each in range(10)]),
        (MovingDigits(digits=3, own="count"), ["1", "2", "3"]),
        (BouncingShapes(), list(SHAPES)),
        (BouncingShapes(own="colour"), list(COLOURS)),
        (BouncingShapes(own="count", shapes=4), ["1", "2", "3", "4"]),
    ],
)
def test_classes_are_balanced_and_true(dataset, classes):
    assert dataset.classes() == classes
    count, share = 800, 1 / len(classes)
    sources = dataset.sources()[:count]
    labels = [source.label for source in sources]
    for each in classes:
        assert abs(labels.count(each) - count * share) < 4.5 * math.sqrt(count * share * (1 - share))
    for source in sources[:12]:
        factors = dataset.factors(source)
        column = "digit" if isinstance(dataset, MovingDigits) else "shape"
        if dataset.own == "count":
            assert len(factors["size"]) == factors["position"].shape[1] == int(source.label)
        else:
            assert {str(each) for each in factors[dataset.own]} == {source.label}
    if dataset.own == "count":
        assert any(len(set(dataset.factors(source)[column])) > 1 for source in sources[:20])


@BOTH
def test_without_classes(kind):
    dataset = kind(own="none")
    assert dataset.classes() == []
    assert dataset.sources()[0].label is None


def test_positions_and_headings_are_spread_evenly():
    dataset = MovingDigits(own="none", digits=8, length=1)
    factors = [dataset.factors(source) for source in dataset.sources()[:150]]
    velocity = np.concatenate([each["velocity"][0] for each in factors])
    assert np.allclose(np.hypot(*velocity.T), dataset.speed)
    assert np.abs(velocity.mean(0)).max() < 4.5 * dataset.speed / math.sqrt(2 * len(velocity))
    position = np.concatenate([each["position"][0] for each in factors])
    assert np.abs(position.mean(0) - 32).max() < 4.5 * position.std() / math.sqrt(len(position)) + 0.5


@BOTH
def test_bodies_that_do_not_fit_are_refused(kind):
    with pytest.raises(ConfigError, match=r"data\.size.*32×64"):
        kind(size=40, height=32)


@BOTH
def test_a_source_of_another_set_is_refused(kind):
    for name in ("cats/a.mp4", "2147483648", "-1", "²"):
        with pytest.raises(DataError, match="no video of this set"):
            kind().open(Source(name=name))


@BOTH
def test_training_reads_them_as_a_stream(kind):
    dataset = kind(length=20)
    assert kind.access == "stream"
    store = open_stream(dataset, dataset.sources(), Geometry(height=64, width=64), min_frames=16)
    assert (len(store), store.fps) == (2**31, 25.0)
    videos = torch.tensor([2**31 - 1, 6])
    frames, _ = store.clips(videos, torch.tensor([0, 2**32 - 1]), torch.arange(16).expand(2, 16), 16)
    sources = dataset.sources()
    assert np.array_equal(frames[0].numpy(), video(dataset, sources[-1])[:16])
    assert np.array_equal(frames[1].numpy(), video(dataset, sources[6])[4:])
