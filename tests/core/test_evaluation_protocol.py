"""Protocols: each opens, what is changed in one is told, and what cannot be is refused in a sentence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_evaluations import plugin_file
from small_runs import own_registry

from gadkit import ConfigError, GadkitError, PluginError
from gadkit.evaluation.protocol import ProtocolSettings, from_sets, open_protocol
from gadkit.registry import get_registry

BUNDLED = ["gadkit", "quick", "fvd2048_16f", "fvd2048_128f", "cd-fvd"]
LITERATURE = ["fvd2048_16f", "fvd2048_128f", "cd-fvd"]


def opened(name="gadkit", changes=None, registry=None):
    return open_protocol(registry or get_registry(), name, changes)


def test_these_protocols_are_bundled():
    assert sorted(entry.name for entry in get_registry().entries("protocol")) == sorted(BUNDLED)


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_protocol_opens_unchanged(name):
    protocol = opened(name)
    assert (protocol.title, protocol.name, protocol.changed) == (name, f"gadkit:{name}", {})
    assert protocol.settings.quick == (name == "quick")
    assert bool(protocol.settings.comparable) == (name in LITERATURE)
    told = protocol.to_dict()
    assert told["name"] == f"gadkit:{name}"
    fields = set(ProtocolSettings.model_fields) - {"quick", "comparable"}
    assert told.keys() == fields | {"name", "changed"}  # all that a number depends on, and no words


@pytest.mark.parametrize("name", LITERATURE)
def test_protocols_of_the_literature_are_theirs(name):
    """StyleGAN-V and cd-fvd: I3D, 2,048 generated clips, covariances divided by N, one number of all clips."""
    found = opened(name).settings
    assert (found.features, found.metrics, found.settings["fvd"]["divisor"]) == ("i3d", ["fvd"], "n")
    assert (found.clips, found.resamplings, found.clips_per_video, found.split) == (2048, 0, 1, "all")
    assert (found.fewer, found.stride, found.fps) == ("real", 1, 0.0)
    assert found.frames == (128 if name.endswith("128f") else 16)
    assert found.resolution == (256 if name == "cd-fvd" else 0)
    assert found.real_clips == (0 if name == "cd-fvd" else 2048)


def test_the_own_protocol_tells_a_floor_and_a_spread_of_held_out_videos():
    found = opened("gadkit").settings
    assert (found.split, found.resamplings, found.floor, found.settings["fvd"]["divisor"]) == (
        "held-out",
        10,
        True,
        "n-1",
    )


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "frames": st.integers(1, 64),
        "stride": st.integers(1, 8),
        "clips": st.integers(2, 4096),
        "real_clips": st.integers(0, 4096),
        "seed": st.integers(-(2**70), 2**70),
        "fps": st.floats(0, 1000) | st.integers(0, 1000),
        "resize": st.sampled_from(["lanczos", "bilinear", "bicubic-antialias"]),
        "floor": st.booleans(),
        "resamplings": st.integers(0, 20) | st.none(),
    },
)


@given(st.sampled_from(BUNDLED), CHANGES)
@settings(deadline=None, max_examples=25)
def test_exactly_what_was_changed_is_told(name, changes):
    base, protocol = opened(name), opened(name, changes)
    before, after = base.settings.model_dump(), protocol.settings.model_dump()
    assert protocol.changed == {key: after[key] for key in after if after[key] != before[key]}
    assert after == {**before, **{key: value for key, value in changes.items() if value is not None}}
    assert protocol.to_dict()["changed"] == protocol.changed
    assert protocol.title == f"{name}, but " + ", ".join(f"{k}={v}" for k, v in protocol.changed.items()) or name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"framse": 4}, "protocol.framse is no setting of a protocol. Did you mean 'frames'?"),
        ({"frames": 0}, "protocol.frames: found 0, expected an integer greater than 0"),
        ({"frames": 2**40}, "protocol.frames: found 1099511627776, expected an integer greater than 0 and at most"),
        ({"frames": "16"}, "protocol.frames: found '16', expected an integer"),
        ({"clips": 10**12}, "protocol.clips: found 1000000000000"),
        ({"clips": 1}, "protocol.clips: found 1, expected an integer greater than 1"),
        ({"fps": float("nan")}, "protocol.fps: found nan"),
        ({"resize": "nearest"}, "protocol.resize: found 'nearest', expected one of 'lanczos', 'bilinear'"),
        ({"split": "test"}, "protocol.split: found 'test', expected one of 'held-out', 'training', 'all'"),
        ({"metrics": []}, "protocol.metrics: found []"),
        ({"metrics": "fvd"}, "protocol.metrics: found 'fvd', expected a list of strings"),
        ({"metrics": ["fdv"]}, "There is no metric 'fdv'. Did you mean 'fvd'"),
        ({"features": "i3b"}, "'i3b'. Did you mean 'i3d'"),
        ({"settings": 3}, "protocol.settings: found 3, expected a table"),
        ({"settings": {"fvd": 3}}, "protocol.settings: found {'fvd': 3}, expected a table"),
        ({"settings": {"fdv": {"divisor": "n"}}}, "There is no metric 'fdv'. Did you mean 'fvd'"),
        ({"settings": {"kvd": {}}}, "protocol.settings.kvd: kvd is not among what is measured, fvd;"),
    ],
)
def test_what_cannot_be_changed_so_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(GadkitError) as caught:
        opened("gadkit", changes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_protocol_is_told_with_those_there_are():
    with pytest.raises(PluginError, match=r"no protocol 'gadkti'\. Did you mean 'gadkit'"):
        opened("gadkti")


@pytest.mark.parametrize("name", LITERATURE)
def test_a_literature_protocol_is_refused_with_another_network(name):
    with pytest.raises(ConfigError, match=rf"{name} is defined with i3d.*--protocol gadkit with it\.$"):
        opened(name, {"features": "random-r3d"})
    assert opened(name, {"features": "gadkit:i3d"}).title == name  # which is the same by its full name
    assert opened("gadkit", {"features": "random-r3d"}).title == "gadkit, but features=random-r3d"


def test_settings_of_metrics_are_merged_by_whatever_name_the_metric_is_called():
    registry = get_registry()
    for called in ("fvd", "gadkit:fvd"):
        protocol = opened("gadkit", from_sets([f"settings.{called}.divisor=n"]))
        assert protocol.settings.settings == {"fvd": {"divisor": "n"}}
        assert protocol.changed == {"settings": {"fvd": {"divisor": "n"}}}
        assert protocol.title == "gadkit, but settings.fvd.divisor=n"
    same = open_protocol(registry, "gadkit", from_sets(["settings.fvd.divisor=n-1"]))
    assert (same.title, same.changed) == ("gadkit", {})
    other = opened("gadkit", {"metrics": ["fvd", "kvd"], "settings": {"kvd": {}}})
    assert other.settings.settings == {"fvd": {"divisor": "n-1"}, "kvd": {}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("settings.fvd=n", "expected key=value, such as seed=1 or settings.fvd.divisor=n"),
        ("video.frames.x=3", "expected key=value"),
        ("frame=3", "frame is no setting of a protocol. Did you mean 'frames'"),
        ("device='cpu'", "device is no setting of a protocol."),
        ("features=i3d", "name features with --features."),
        ("metrics=fvd", "name metrics with --metric."),
    ],
)
def test_a_text_that_sets_nothing_is_refused(text, sentence):
    with pytest.raises(ConfigError) as caught:
        from_sets([text])
    assert str(caught.value).startswith(f"--set {text!r}: ")
    assert sentence in str(caught.value)


def test_texts_are_read_as_toml_or_as_they_are():
    assert from_sets(["seed=3", "resize=bilinear", "floor=true", "fps=12.5", "settings.prdc.k=3"]) == {
        "seed": 3,
        "resize": "bilinear",
        "floor": True,
        "fps": 12.5,
        "settings": {"prdc": {"k": 3}},
    }


def test_a_protocol_of_a_plugin_file_is_one_like_any_other(tmp_path):
    with own_registry():
        registry = get_registry()
        registry.load_file(plugin_file(tmp_path))
        protocol = opened("small", {"seed": 4}, registry)
        assert protocol.settings.features == "pooled"
        assert (protocol.settings.frames, protocol.settings.clips) == (4, 16)
        assert protocol.title == f"{protocol.name}, but seed=4"
        assert protocol.name.endswith(":small")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("misspelt", "framse is no setting of Protocol"),
        ("broken", ":broken' is not TOML: Invalid value"),
        ("missing", "missing.toml"),
    ],
)
def test_a_protocol_that_cannot_be_used_is_told_with_its_name(tmp_path, name, sentence):
    with own_registry():
        registry = get_registry()
        registry.load_file(plugin_file(tmp_path))
        with pytest.raises(GadkitError) as caught:
            opened(name, None, registry)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
