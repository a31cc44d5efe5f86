"""Labels and groups come from folders, tables or the data themselves, and every video gets one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gadkit.data.labels import grouping, held_out, is_held_out, labelled
from gadkit.errors import ConfigError, DataError
from gadkit.interfaces.dataset import Dataset, Source

NAMES = ["cats/a.mp4", "cats/b.mp4", "dogs/deep/c.mp4"]


class Tree(Dataset):
    def __init__(self, path):
        self.path = path

    def sources(self):
        return [Source(name=name) for name in NAMES]

    def open(self, source):
        raise NotImplementedError


def label(path, how, sources=None):
    dataset = Tree(path)
    found = labelled(dataset, sources or dataset.sources(), how)
    return [source.label for source in found]


def test_folders_and_none(tmp_path):
    assert label(tmp_path, "folders") == ["cats", "cats", "dogs"]
    assert label(tmp_path, "none", [Source(name="a", label="x")]) == [None]
    with pytest.raises(DataError, match=r"data\.labels.*loose\.mp4 lies in no folder"):
        label(tmp_path, "folders", [Source(name="loose.mp4")])


def test_the_datasets_own(tmp_path):
    assert label(tmp_path, "own", [Source(name="a", label="x"), Source(name="b", label="y")]) == ["x", "y"]
    with pytest.raises(DataError, match="1 of 2 videos have no label of their own, such as b"):
        label(tmp_path, "own", [Source(name="a", label="x"), Source(name="b")])


@pytest.mark.parametrize("header", ["name,label,subject", "path, label ,subject", "label,subject,name"])
def test_a_csv_in_the_data_or_beside_them(tmp_path, header):
    order = [column.strip() for column in header.split(",")]
    rows = [{"name": name, "path": name, "label": "x" * i, "subject": f"s{i}"} for i, name in enumerate(NAMES, 1)]
    text = "\n".join([header, *(",".join(row[column] for column in order) for row in rows)])
    (tmp_path / "data").mkdir()
    for table in (tmp_path / "data" / "labels.csv", tmp_path / "elsewhere.csv"):
        table.write_text("\ufeff" + text, encoding="utf-8")
    for how in ("labels.csv", str(tmp_path / "elsewhere.csv")):
        dataset = Tree(tmp_path / "data")
        found = labelled(dataset, dataset.sources(), how)
        assert [source.label for source in found] == ["x", "xx", "xxx"]
        assert [source.columns["subject"] for source in found] == ["s1", "s2", "s3"]


@pytest.mark.parametrize(
    "labels",
    [
        [["cats/a.mp4", 0], ["cats/b.mp4", 3], ["dogs/deep/c.mp4", 0]],
        {"cats/a": 0, "cats/b": 3, "dogs/deep/c": 0},
        [["cats\\a.mp4", 0], ["cats/b.mp4/000.png", 3], ["cats/b.mp4/001.png", 3], ["dogs/deep/c.mp4", 0]],
    ],
)
def test_a_dataset_json_as_stylegan_has_it(tmp_path, labels):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert label(tmp_path, "dataset.json") == ["0", "3", "0"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "name,label\ncats/a.mp4,x\n", "says nothing of 2 of 3 videos: cats/b.mp4"),
        ("t.csv", "video,kind\n", "columns video, kind; expected"),
        ("t.csv", "", "columns none"),
        ("t.csv", "name,label\ncats/a.mp4,x\ncats/a.mp4,y\n", "line 3: names cats/a.mp4 a second time"),
        ("t.csv", "name,label\ncats/a.mp4\n", "line 2"),
        ("t.csv", 'name,label\n"cats/a.mp4,x\n', "is no CSV"),
        ("t.json", "{", "is no JSON"),
        ("t.json", "[" * 100_000, "is no JSON"),
        ("t.json", '{"labels": null}', "has no labels"),
        ("t.json", '{"labels": [["a", [1]]]}', "has no labels"),
        ("t.json", '{"labels": [["cats/a.mp4/1", 1], ["cats/a.mp4/2", 2]]}', "cats/a.mp4 2 labels"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        label(tmp_path, name)
    assert name in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"data\.labels: nothing\.csv cannot be read"):
        label(tmp_path, "nothing.csv")


def test_groups():
    columns = {"subject": "anna"}
    for how, group in {
        "file": "cats/anna_01.mp4",
        "folder": "cats",
        "regex:[a-z]+_": "anna_",
        r"regex:([a-z]+)_\d+": "anna",
        "column:subject": "anna",
    }.items():
        assert grouping(how)("cats/anna_01.mp4", columns) == group
    with pytest.raises(DataError, match="no column 'film'"):
        grouping("column:film")("a", columns)
    with pytest.raises(DataError, match="finds nothing in a"):
        grouping("regex:x")("a", {})
    for how in ("files", "column:", "regex:(", "column"):
        with pytest.raises(ConfigError, match=r"clips\.group"):
            grouping(how)


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_held_out_is_a_function_of_the_name_and_grows_with_the_fraction(name, one, other):
    small, large = sorted((one, other))
    assert is_held_out(name, small) <= is_held_out(name, large)
    assert not is_held_out(name, 0.0)
    assert is_held_out(name, 1.0)


def test_held_out_takes_its_share():
    names = [f"video {number}" for number in range(10_000)]
    out = held_out(names, [{}] * len(names), "file", 0.1)
    assert abs(sum(out) - 1000) < 4 * 30
    assert out == held_out(names, [{}] * len(names), "file", 0.1)
