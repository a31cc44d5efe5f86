"""Results: written and read without loss, held against each other, and refused in a sentence where they are none."""

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_evaluations import Gap, decode_here, document, measured, write_videos

from gadkit import ConfigError, RunError
from gadkit.evaluation.manifest import differences, one_line
from gadkit.evaluation.results import Result, compare, find_results, read_result
from gadkit.evaluation.scores import Score


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A result, whole."""
    root = tmp_path_factory.mktemp("videos")
    real, made = write_videos(root / "real", range(8)), write_videos(root / "made", range(20, 28))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GADKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        decode_here(patch)
        return measured(made, real, metrics=["fvd", Gap], resamplings=2, floor=True)


def changed(result, **keys):
    """A result whose manifest says something else; keys with `__` for dots."""
    manifest = document(result)["manifest"]
    for key, value in keys.items():
        *parents, last = key.split("__")
        table = manifest
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return Result(values=result.values, manifest=manifest, clips=result.clips)


def test_a_result_is_read_as_it_was_written(found, tmp_path):
    path = found.write(tmp_path / "somewhere" / "new" / "result.json")
    again = read_result(path)
    assert document(again) == document(found)
    assert again.values == found.values
    assert (again.line, list(again.warnings), again.made, again.step) == (
        found.line,
        list(found.warnings),
        found.made,
        found.step,
    )
    assert [each.name for each in path.parent.iterdir()] == ["result.json"]
    text = path.read_text()
    assert json.loads(text)["format"] == 1
    json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_names_that_are_no_text_and_numbers_that_are_none_are_kept(found, tmp_path):
    odd = Result(
        values={"fvd[x]": Score(value=math.nan, std=math.inf, floor=1.0, best="lowest", clips=(2, 2))},
        manifest=changed(found, generated__name="od\udcffd\x1b[2J").manifest,
        clips={"generated": [{"video": "a\udcff.mp4", "first": 0}]},
        step=7,
    )
    again = read_result(odd.write(tmp_path / "odd.json"))
    assert again.clips == odd.clips
    assert again.manifest == odd.manifest
    (score,) = again.values.values()
    assert math.isnan(score.value)
    assert (score.std, score.floor, again.step) == (None, 1.0, 7)


def test_a_place_that_cannot_be_written_is_told(found, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"result\.json: cannot be written \(.*\); free some space, or choose another"):
        found.write(tmp_path / "file" / "result.json")


def test_the_line_says_what_the_number_depends_on(found):
    line = found.line
    network = found.manifest["networks"]["clip"]
    for part in (
        "gadkit (changed)",
        f"Pooled {network['weights'][:12]}",
        "16 clips of made against 16 of real",
        "4 frames of 16×16",
        "/(n-1)",
        "2 random halves",
        "seed 0",
        "torch ",
        "cpu",
    ):
        assert part in line
    assert "stride 3" in changed(found, protocol__stride=3).line
    assert "bilinear" in changed(found, protocol__resize="bilinear").line
    assert "\n" not in line


# --- differences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"protocol__frames": 8}, ["protocol.frames: 4, 8"]),
        ({"protocol__seed": 3}, ["protocol.seed: 0, 3"]),
        ({"metrics__fvd__settings__divisor": "n"}, ["metrics.fvd.settings.divisor: n-1, n"]),
        ({"real__split": "training"}, ["real.split: all, training"]),
        ({"real__clips": 20}, ["real.clips: 16, 20"]),
        ({"generated__clips": 20}, ["generated.clips: 16, 20"]),
        ({"size": [8, 8]}, ["size: [16, 16], [8, 8]"]),
        ({"software__torch": "0"}, [r"software\.torch: .*, 0"]),
        ({"device": "cuda"}, ["device: cpu, cuda"]),
        ({"networks__clip__weights": "f" * 64}, [r"networks\.clip\.weights: \w{12}…, f{12}…"]),
        ({"something__new": 1}, ["something.new: nothing, 1"]),
        ({"clips__real": "0" * 64, "real__content": "0" * 64}, [r"real\.content: .*, 0*…", r"clips\.real: .*, 0*…"]),
    ],
    ids=str,
)
def test_what_differs_is_named(found, keys, said):
    names = differences(found.manifest, changed(found, **keys).manifest)
    assert len(names) == len(said)
    for pattern in said:
        assert any(re.fullmatch(pattern.replace("[16", r"\[16").replace("[8", r"\[8"), name) for name in names), names


def test_what_was_judged_may_differ(found):
    other = changed(
        found,
        generated__name="x",
        generated__content="y",
        generated__kind="model",
        generated__step=7,
        generated__videos=3,
        generated__fps=12.0,
        real__name="elsewhere",
        training__name="elsewhere",
        protocol__changed__seed=0,
    )
    assert differences(found.manifest, other.manifest) == []
    assert compare([("one", found), ("other", other)]) == []


def test_results_of_different_protocols_do_not_stand_together_unless_asked_for(found):
    other = changed(found, protocol__name="gadkit:cd-fvd")
    with pytest.raises(ConfigError) as caught:
        compare([("one", found), ("other", other)])
    assert str(caught.value) == (
        "other was measured by protocol cd-fvd, and one by gadkit: their numbers mean different things; measure both "
        "by one protocol, or put them side by side with --mixed."
    )
    (warning,) = compare([("one", found), ("other", other)], mixed=True)
    assert warning == "other differs from one in protocol.name: gadkit:gadkit, gadkit:cd-fvd."


def test_every_result_is_held_against_the_first(found):
    results = [("a", found), ("b", found), ("c", changed(found, protocol__seed=1)), ("d", changed(found, device="mps"))]
    assert compare(results) == [
        "c differs from a in protocol.seed: 0, 1.",
        "d differs from a in device: cpu, mps.",
    ]


def test_the_results_of_a_run_come_in_the_order_of_time(found, tmp_path):
    folder = tmp_path / "run" / "evaluations"
    for number, name in enumerate(("training-quick", "b", "a")):
        made = Result(values=found.values, manifest=found.manifest, made=f"2024-01-0{number + 1}T00:00:00+00:00")
        made.write(folder / f"{name}.json")
    assert [name for name, _ in find_results(tmp_path / "run")] == ["run/training-quick", "run/b", "run/a"]
    (folder / ".x.json.partial").write_text("{")
    assert len(find_results(tmp_path / "run")) == 3
    assert [name for name, _ in find_results(folder / "a.json")] == ["a"]


def test_a_run_without_results_is_told(tmp_path):
    with pytest.raises(RunError, match=r"has no results yet; measure with `gadkit evaluate"):
        find_results(tmp_path)
    with pytest.raises(RunError, match=r"cannot be read \(No such file"):
        find_results(tmp_path / "nothing")


# --- files that somebody made up -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.integers(-5, 5)
    | st.floats()
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths(value, prefix=()):
    """Every place in a document."""
    yield prefix
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*prefix, key))


@given(st.data())
@settings(deadline=None, max_examples=250)
def test_a_made_up_file_is_refused_in_a_sentence_or_is_a_result_that_can_be_used(found, tmp_path_factory, data):
    told = document(found)
    places = [place for place in paths({**told, "clips": {}}) if place]
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(places))
        table = told
        try:
            for parent in parents:
                table = table[parent]
            if data.draw(st.booleans()):
                del table[last]
            else:
                table[last] = data.draw(JSON)
        except (KeyError, IndexError, TypeError):
            continue  # it is gone already
    path = tmp_path_factory.getbasetemp() / "made-up.json"
    path.write_text(json.dumps(told))
    use(path)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(deadline=None, max_examples=100)
def test_any_bytes_are_refused_in_a_sentence(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        read_result(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 5000, b'{"format": 1, "values": NaN}', b"1" * 10_000])
def test_what_would_exhaust_a_parser_is_refused(tmp_path, content):
    (tmp_path / "deep.json").write_bytes(content)
    with pytest.raises(RunError, match="is no result of an evaluation"):
        read_result(tmp_path / "deep.json")


@pytest.mark.parametrize("clips", [None, 3, "abc", ["abc"], {"real": "abc"}, {"real": {"video": 1}}])
def test_clips_that_are_no_lists_are_refused(found, tmp_path, clips):
    (tmp_path / "clips.json").write_text(json.dumps(document(found) | {"clips": clips}))
    with pytest.raises(RunError, match="its clips are no lists by side"):
        read_result(tmp_path / "clips.json")


def use(path):
    """Reads a file, and does all that is done with a result."""
    try:
        result = read_result(path)
    except RunError as error:
        sentence = str(error)
    else:
        used(result)
        return
    assert "\n" not in sentence
    assert sentence.endswith("measure again.")


def used(result):
    assert isinstance(result.line, str)
    for score in result.values.values():
        assert isinstance(score.value, float)
        assert all(each is None or isinstance(each, float) for each in (score.std, score.floor, score.floor_std))
        assert isinstance(score.best or "", str)
    assert result.step is None or f"{result.step:,}"
    compare([("one", result), ("again", result)], mixed=True)
    json.dumps(result.to_dict())


@pytest.mark.parametrize(("steps", "words"), [(1, "1 step"), (10, "10 steps")])
def test_the_line_counts_the_steps_of_refinement(steps, words):
    manifest = {
        "protocol": {
            "name": "quick",
            "changed": [],
            "stride": 1,
            "resize": "lanczos",
            "frames": 8,
            "resamplings": 0,
            "seed": 0,
        },
        "generated": {
            "clips": 4,
            "name": "mine",
            "refined": {"use": "gadkit:proximal", "steps": steps},
            "truncation": 0.5,
        },
        "networks": {},
        "metrics": {},
        "size": [16, 16],
        "software": {"gadkit": "1", "torch": "2"},
        "device": "cpu",
    }
    assert f"4 clips of mine (refined by proximal, {words}) (truncation 0.5) · " in one_line(manifest)
