"""What is done to a file of a run, a model, a configuration or a pack, each a function of a seeded draw."""

from __future__ import annotations

import copy
import functools
import json
import os
import random
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w
from hostile import MUTATIONS

DEEP = 100_000
_MARK = "@@here@@"


def _harm_bytes(content: bytes, draw: random.Random, path: Path) -> tuple[str, bytes]:
    others = sorted(each for each in path.parent.iterdir() if each.is_file() and each != path and each.stat().st_size)
    what = draw.choice(list(MUTATIONS))
    return what, MUTATIONS[what](content, draw, draw.choice(others).read_bytes() if others else content[::-1])


def _harm_frames(content: bytes, draw: random.Random, path: Path) -> tuple[str, bytes]:
    """Other bytes in the place of some, of what comes after the header of a shard."""
    begin = draw.randrange(len(content) // 2, len(content) - 16)
    return "other frames", content[:begin] + draw.randbytes(16) + content[begin + 16 :]


# --- texts: JSON and TOML --------------------------------------------------------------------------------------------

_LONG = '"' + "x" * (1 << 20) + '"'
_DEEP = "[" * DEEP + "]" * DEEP
_NUMBERS = ("-1", "0", "1", "0.5", "100000000", "9223372036854775808", "1e400", "9" * 4000, "9" * 100_000)
_TEXTS = ('""', '"../../x"', '"/etc/passwd"', '"os:system"', '"evil.py:evil"', '"\\u0000"', _LONG)
_BOTH = (*_NUMBERS, *_TEXTS, "[]", "{}", "true", _DEEP)
_JSON = (*_BOTH, "null", "NaN", "-Infinity", '"\\ud800"', '{"a":' * DEEP + "1" + "}" * DEEP, '{"$tensor": "x"}')
_TOML = (*_BOTH, "nan", "-inf", "1979-05-27T07:32:00Z", '"python:os.system"', '["a", 1, {}]')


def _read(path: Path, content: bytes) -> Any:
    text = content.decode()
    if path.suffix == ".toml":
        return tomllib.loads(text)
    return [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)


def _write(path: Path, tree: Any) -> str:
    if path.suffix == ".toml":
        return tomli_w.dumps(tree)
    return "".join(json.dumps(line) + "\n" for line in tree) if path.suffix == ".jsonl" else json.dumps(tree, indent=1)


def _places(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key, of leaves and of what holds them."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = []
    for key, value in pairs:
        found += [(*above, key), *_places(value, (*above, key))]
    return found


def _inner(tree: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _harm_leaf(content: bytes, draw: random.Random, path: Path, within: tuple[str, ...] = ()) -> tuple[str, bytes]:
    """Another value in one place, of all or of those `within` some keys."""
    tree = _read(path, content)
    place = draw.choice([place for place in _places(tree) if not within or place[0] in within])
    value = draw.choice(_TOML if path.suffix == ".toml" else _JSON)
    _inner(tree, place[:-1])[place[-1]] = _MARK
    text = _write(path, tree).replace(f'"{_MARK}"', value)
    return f"{place} is {value[:20]}", text.encode()


def _harm_shape(content: bytes, draw: random.Random, path: Path) -> tuple[str, bytes]:
    """Keys that are gone, too many, twice, or swapped."""
    tree = _read(path, content)
    place = draw.choice(_places(tree))
    holder, key = _inner(tree, place[:-1]), place[-1]
    what = draw.choice(["gone", "more", "swapped", "twice"])
    if what == "gone":
        del holder[key]
    elif what == "more" and isinstance(holder, dict):
        holder[draw.choice(["../x", "__proto__", "$tensor", "", "x" * 10_000, "use"])] = draw.choice([1, "x", [], {}])
    elif what == "swapped":
        other = draw.choice(_places(tree))
        holder[key] = copy.deepcopy(_inner(tree, other))
    elif isinstance(key, str):
        text = content.decode()
        line = draw.choice([line for line in text.splitlines(keepends=True) if key in line] or [text])
        return f"{place} twice", text.replace(line, line + line, 1).encode()
    return f"{place} {what}", _write(path, tree).encode("utf-8", "replace")


def _harm_text(content: bytes, draw: random.Random, path: Path) -> tuple[str, bytes]:
    """No such text at all, or one in another encoding."""
    text = content.decode()
    place = draw.randrange(len(content))
    nested = "a." * (DEEP // 2) + "a = 1\n" if path.suffix == ".toml" else '{"a":' * DEEP
    texts = {
        "utf-16": text.encode("utf-16"),
        "a mark": b"\xef\xbb\xbf" + content,
        "no utf-8": content[:place] + b"\xff\xc3" + content[place:],
        "a zero byte": content[:place] + b"\0" + content[place:],
        "brackets": b"[" * DEEP + b"]" * DEEP,
        "nested": nested.encode(),
        "a list": b"[1, 2]",
        "nothing": b"null",
        "a number": b"9" * 10_000,
        "spaces": content + b" " * (1 << 20),
        "long": b"# " + b"x" * (20 << 20) + b"\n" + content,
        "crlf": content.replace(b"\n", b"\r\n"),
    }
    what = draw.choice(list(texts))
    return what, texts[what]


# --- tensors ---------------------------------------------------------------------------------------------------------


def _split(content: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def _join(header: Any, data: bytes, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def _harm_header(content: bytes, draw: random.Random, path: Path) -> tuple[str, bytes]:
    """A header that lies."""
    header, data = _split(content)
    name = draw.choice(sorted(header.keys() - {"__metadata__"}))
    kinds = "length shape offsets dtype zero negative empty deep list metadata twice huge"
    what = draw.choice(kinds.split())
    entry = header[name]
    size = entry["data_offsets"][1] - entry["data_offsets"][0]
    if what == "length":
        length = draw.choice([0, 1, 7, len(content), 2**31, 2**60, 2**63, 2**64 - 1, len(json.dumps(header)) + 1])
        return f"length {length}", _join(header, data, length)
    if what == "shape":
        shapes = [[2**62, 4], [10**9] * 3, [2**63], [-1, -size], [10**18, 0], [1] * 1000, [1.5], "x"]
        entry["shape"] = draw.choice(shapes)
    elif what == "offsets":
        entry["data_offsets"] = draw.choice([[0, size], [0, 2**63], [-size, 0], [size, 0], [2**62, 2**62 + size], [0]])
    elif what == "dtype":
        entry["dtype"] = draw.choice(["F64", "U8", "F8_E8M0", "x", "", None, 5, "BOOL", "C64", "I32"])
    elif what == "zero":
        entry["shape"], entry["data_offsets"] = [0, 10**12], [0, 0]
    elif what == "negative":
        entry["shape"] = [-value for value in entry["shape"]] or [-1]
    elif what == "empty":
        header = {}
    elif what == "deep":
        return what, _join(b"[" * DEEP + b"]" * DEEP, data)
    elif what == "list":
        return what, _join(draw.choice([b"[]", b"null", b"3", b"", b'"x"', b"\xff\xfe"]), data)
    elif what == "metadata":
        header["__metadata__"] = draw.choice([{"a": "b" * 10_000}, {"a": 1}, [], 3, "x", {"format": "pt"}])
    elif what == "twice":
        text = json.dumps(header).encode()
        return what, _join(text[:-1] + f", {json.dumps(name)}: {json.dumps(entry)}".encode() + b"}", data)
    else:  # as consistent as it can be without the bytes
        more = 2 ** draw.choice([31, 40, 50, 60])
        last = max(each["data_offsets"][1] for each in header.values() if "data_offsets" in each)
        header["more"] = {"dtype": "U8", "shape": [more], "data_offsets": [last, last + more]}
    return f"{name} {what}", _join(header, data)


def _harm_tensors(content: bytes, draw: random.Random, path: Path) -> tuple[str, bytes]:
    """Whole files of other tensors."""
    header, data = _split(content)
    names = sorted(header.keys() - {"__metadata__"})
    one, other = draw.sample(names, 2)
    what = draw.choice(["swapped", "renamed", "gone", "values", "turned", "larger", "other kind", "not finite"])
    begin, end = header[one]["data_offsets"]
    if what == "swapped":
        header[one], header[other] = header[other], header[one]
    elif what == "renamed":
        header[f"{one}x"] = header.pop(one)
    elif what == "gone":
        return f"{one} {what}", _without(header, data, one)
    elif what == "values":
        data = data[:begin] + draw.randbytes(end - begin) + data[end:]
    elif what == "turned":
        header[one]["shape"] = [*header[one]["shape"][::-1], 1]
    elif what == "larger":  # twice as much of it, bytes and all
        rest = _without(header, data, one)
        header, data = _split(rest)
        shape = [2 * (end - begin) // 4] if draw.random() < 0.5 else [2, (end - begin) // 4]
        header[one] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * _product(shape)]}
        data += bytes(4 * _product(shape))
    elif what == "other kind":
        header[one]["dtype"] = {"F32": "I32", "I64": "F64"}.get(header[one]["dtype"], "U8")
    else:
        data = data[:begin] + b"\xff" * (end - begin) + data[end:]
    return f"{one} {what}", _join(header, data)


def _without(header: dict[str, Any], data: bytes, name: str) -> bytes:
    begin, end = header[name]["data_offsets"]
    kept = {}
    for each, entry in header.items():
        if each != name and each != "__metadata__":
            offsets = [place - (end - begin) if place >= end else place for place in entry["data_offsets"]]
            kept[each] = entry | {"data_offsets": offsets}
    return _join(kept, data[:begin] + data[end:])


def _product(values: list[int]) -> int:
    return values[0] * _product(values[1:]) if values else 1


HARMS: dict[str, Callable[[bytes, random.Random, Path], tuple[str, bytes]]] = {
    "bytes": _harm_bytes,
    "frames": _harm_frames,
    "leaf": _harm_leaf,
    "guidance": functools.partial(_harm_leaf, within=("discriminator", "refiner")),
    "shape": _harm_shape,
    "text": _harm_text,
    "header": _harm_header,
    "tensors": _harm_tensors,
}


# --- places ----------------------------------------------------------------------------------------------------------


def _missing(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    """A link out of the folder, to a file of the same content."""
    outside = _outside(path) / path.name
    os.replace(path, outside)
    path.symlink_to(outside)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(_outside(path) / "nothing")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _unreadable(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


PLACES = {
    "missing": _missing,
    "a folder": _folder,
    "a pipe": _pipe,
    "a link": _link,
    "a dangling link": _dangling,
    "a loop": _loop,
    "an endless device": _unreadable,
}


def _outside(path: Path) -> Path:
    """The folder `outside` that lies beside every case."""
    number = next(index for index, part in enumerate(path.parts) if re.fullmatch(r"case-\d+", part))
    return Path(*path.parts[:number]) / "outside"
