"""Tables of images: columns, labels as names or numbers, splits, and errors with their line."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.sources.csv_file import csv_source
from efficientnet_tf.data.sources.files import FileSource
from efficientnet_tf.errors import UsageError

Write = Callable[..., str]
SPLITS = ("train", "minival", "test")
SIX = ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table, and six images beside it: a.png to f.png, of grey 0, 10 ... 50."""
    for number, name in enumerate(SIX):
        pixels = np.full([3, 2, 3], 10 * number, np.uint8)
        (tmp_path / name).write_bytes(tf.io.encode_png(pixels).numpy())

    def table(*lines: str, encoding: str = "utf-8", end: str = "\n") -> str:
        path = tmp_path / "table.csv"
        path.write_bytes("".join(line + end for line in lines).encode(encoding))
        return str(path)

    return table


def rows(source: FileSource, split: str) -> dict[str, str]:
    """File name to class name, once it is known that the files are read."""
    found = {}
    for example in source.examples(split).as_numpy_iterator():
        path = Path(source.place(split, int(example["index"])))
        assert path.read_bytes() == example["image"]
        found[path.name] = source.class_names[example["label"]]
    return found


LABELLED = [f"{name},{'dog' if name in SIX[:3] else 'cat'}" for name in SIX]
MEANT = {name: "dog" if name in SIX[:3] else "cat" for name in SIX}


@pytest.mark.parametrize(
    ("lines", "options"),
    [
        (["path,label", *LABELLED], {}),
        (LABELLED, {}),  # without names of columns
        (["path,label", *LABELLED], {"encoding": "utf-8-sig", "end": "\r\n"}),  # of a spreadsheet
        (["Path, Label ", *(line.replace(",", ", ") for line in LABELLED)], {}),
        (["label,note,path", *(f'"{c}",,"{p}"' for p, c in MEANT.items()), ""], {}),
    ],
)
def test_the_table_in_many_forms(write: Write, lines: list[str], options: dict[str, str]) -> None:
    source = csv_source(write(*lines, **options))
    assert source.name == "csv:table.csv"
    assert source.class_names == ("cat", "dog")
    assert source.num_examples == {"train": 2, "minival": 2, "test": 2}  # one of each class
    assert rows(source, "train") | rows(source, "minival") | rows(source, "test") == MEANT


def test_splits_of_the_table(write: Write) -> None:
    splits = ["train", "train", "Train", "val", "test", "train"]
    lines = [f"{s},{line}" for s, line in zip(splits, LABELLED, strict=True)]
    source = csv_source(write("split,path,label", *lines))
    assert source.num_examples == {"train": 4, "minival": 1, "test": 1}
    assert rows(source, "minival") == {"d.png": "cat"}
    assert rows(source, "test") == {"e.png": "cat"}

    # Without a test split, validation is it.
    lines = [line.replace("test", "validation").replace("val,", "train,") for line in lines]
    source = csv_source(write("split,path,label", *lines), minival=2)
    assert source.num_examples == {"train": 3, "minival": 2, "test": 1}
    assert rows(source, "test") == {"e.png": "cat"}
    with pytest.raises(
        UsageError, match=r"test must be 0, received 1: .*table.csv has a test split"
    ):
        csv_source(write("split,path,label", *lines), test=1)


def test_whole_tables_are_for_evaluation(write: Write) -> None:
    splits = ["val", "val", "Train", "val", "test", "test"]  # no cat in train, which is no matter
    lines = [f"{s},{line}" for s, line in zip(splits, LABELLED, strict=True)]
    source = csv_source(write("split,path,label", *lines), whole=True)
    assert source.num_examples == {"train": 0, "minival": 0, "test": 6}
    assert rows(source, "test") == MEANT


def test_the_seed_chooses_what_is_held_out(write: Write) -> None:
    table = write(*LABELLED)
    held_out = {tuple(rows(csv_source(table, split_seed=seed), "test")) for seed in range(8)}
    assert len(held_out) > 1
    assert rows(csv_source(table, test=2), "test").keys() != set(SIX)
    assert csv_source(table, test=2).num_examples == {"train": 2, "minival": 2, "test": 2}


def test_paths(write: Write, tmp_path: Path) -> None:
    names = ["ü b,c.png", "Δ/x.png", " first.png", 'quo"te.png']
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    with tf.io.gfile.GFile("ram://far.png", "wb") as file:
        file.write(b"far")
    table = write(
        '"ü b,c.png",x',
        f"{tmp_path}/Δ/x.png,x",  # absolute
        " first.png,x",
        '"quo""te.png",y',
        "./a.png,y",
        "ram://far.png,y",
    )
    source = csv_source(table)
    contents = {
        example["image"]
        for split in source.num_examples
        for example in source.examples(split).as_numpy_iterator()
    }
    png = (tmp_path / "a.png").read_bytes()
    assert contents == {*(name.encode() for name in names), b"far", png}


def test_the_table_on_a_bucket() -> None:
    for name, content in {"a": "a", "b": "b", "t": "a,0\nb,1\nram://csv/c,1\n", "c": "c"}.items():
        with tf.io.gfile.GFile(f"ram://csv/{name}", "w") as file:
            file.write(content)
    with pytest.raises(UsageError, match="minival must leave"):
        csv_source("ram://csv/t")
    with tf.io.gfile.GFile("ram://csv/d", "w") as file:
        file.write("d")
    with tf.io.gfile.GFile("ram://csv/t", "w") as file:
        file.write("a,0\nb,1\nram://csv/c,1\nd,0\n")
    source = csv_source("ram://csv/t")
    assert source.num_examples == {"train": 2, "minival": 1, "test": 1}
    assert {source.place("train", i) for i in range(2)} < {f"ram://csv/{x}" for x in "abcd"}


def test_numbers_are_class_numbers(write: Write, tmp_path: Path) -> None:
    expected = {f"{number}.png": str(number // 2) for number in range(24)}
    for name in expected:
        (tmp_path / name).write_bytes(b"")
    source = csv_source(write("path,label", *(f"{n},{label}" for n, label in expected.items())))
    assert source.class_names == tuple(str(number) for number in range(12))  # 2 before 10
    splits = [rows(source, split) for split in ("train", "minival", "test")]
    assert splits[0] | splits[1] | splits[2] == expected


def test_numbers_that_do_not_occur(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    def numbered(labels: str) -> str:
        return write(*(f"{n},{label}" for n, label in zip(SIX, labels.split(), strict=True)))

    source = csv_source(numbered("1 1 3 3 2 2"))
    assert source.num_classes == 4
    assert set(rows(source, "train").values()) == {"1", "2", "3"}
    assert "labels up to 3, so there are 4 classes, but no image of 1 of them, such as class 0" in (
        caplog.text
    )
    with pytest.raises(UsageError, match="has 3 different ones, but up to 6. Count anew"):
        csv_source(numbered("0 0 6 6 2 2"))
    with pytest.raises(UsageError, match="line 4: class numbers must not be negative, received -1"):
        csv_source(numbered("0 0 1 -1 1 -1"))
    with pytest.raises(UsageError, match='two classes are needed, found only "1" in'):
        csv_source(numbered("1 1 1 1 1 1"))
    # One that is no number makes all of them names.
    assert csv_source(numbered("0 0 -6 -6 x x")).class_names == ("-6", "0", "x")


def test_a_path_twice_counts_once(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    source = csv_source(write(*LABELLED, "./a.png,dog", "a.png,dog"))
    assert sum(source.num_examples.values()) == 6
    assert "table.csv lists 2 images more than once; they count once." in caplog.text
    with pytest.raises(
        UsageError, match='line 7: "a.png" must have one label, but has "dog" in line 1 and "cat"'
    ):
        csv_source(write(*LABELLED, "a.png,cat"))
    with pytest.raises(UsageError, match='line 3: "a.png" must have one split, but has "train" in'):
        csv_source(write("path,label,split", "a.png,x,train", "a.png,x,test"))


def test_of_files_in_a_bucket_only_some_are_looked_for(write: Write) -> None:
    lines = [f"ram://some/{number}.png,{number % 2}" for number in range(3000)]
    for number in range(0, 3000, 3):
        with tf.io.gfile.GFile(f"ram://some/{number}.png", "w") as file:
            file.write("")
    assert sum(csv_source(write(*lines)).num_examples.values()) == 3000
    tf.io.gfile.remove("ram://some/30.png")
    tf.io.gfile.remove("ram://some/2997.png")
    with pytest.raises(
        UsageError,
        match=r'line 31: the file ".*/30.png" does not exist, like 2 of 1000 looked for \(of 3000',
    ):
        csv_source(write(*lines))


def test_of_files_here_all_are_looked_at(write: Write, tmp_path: Path) -> None:
    lines = [f"{number}.png,{number % 2}" for number in range(1500)]
    for number in range(1500):
        (tmp_path / f"{number}.png").write_bytes(b"")
    assert sum(csv_source(write(*lines)).num_examples.values()) == 1500
    (tmp_path / "1201.png").unlink()
    with pytest.raises(UsageError, match=r"line 1202: .* not exist, like 1 of 1500 looked for"):
        csv_source(write(*lines))
    os.mkfifo(tmp_path / "1201.png")
    (tmp_path / "1203.png").unlink()
    (tmp_path / "1203.png").mkdir()
    with pytest.raises(UsageError, match=r'line 1202: .*1201.png" cannot be read: it is a named p'):
        csv_source(write(*lines))
    (tmp_path / "1201.png").unlink()
    (tmp_path / "1201.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r'line 1204: .*1203.png" cannot be read: it is a folder'):
        csv_source(write(*lines))


@pytest.mark.parametrize(
    "lines",
    [
        ["sep=,", "path,label", *LABELLED],
        ['"sep=,"', *LABELLED],
        ["sep=;", "path;label", *(line.replace(",", ";") for line in LABELLED)],
        ["path,label,,", *(f"{line},," for line in LABELLED), ",,,", ",,"],
        ["path,label", *(f"{line}," for line in LABELLED), ","],
        [f"{line},," for line in LABELLED],
    ],
)
def test_tables_as_spreadsheets_write_them(write: Write, lines: list[str]) -> None:
    source = csv_source(write(*lines, end="\r\n"))
    assert source.class_names == ("cat", "dog")
    assert rows(source, "train") | rows(source, "minival") | rows(source, "test") == MEANT


def test_lines_are_counted_from_the_top_of_the_file(write: Write) -> None:
    with pytest.raises(UsageError, match="line 3: the split must be one of"):
        csv_source(write("sep=,", "path,label,split", "a.png,x,trian"))


def test_paths_are_utf8_where_python_takes_names_for_ascii(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").rename(tmp_path / "ä.png")
    table = write(*(line.replace("a.png", "ä.png") for line in LABELLED))

    def as_ascii(name: bytes) -> str:
        return name.decode("ascii", "surrogateescape")

    monkeypatch.setattr(os, "fsdecode", as_ascii)  # with PYTHONUTF8=0 and LC_ALL=C
    source = csv_source(table)
    places = {source.place(split, i) for split in SPLITS for i in range(source.num_examples[split])}
    assert str(tmp_path / "ä.png") in places


HEAD = "path,label,split"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,class", "a.png,x"], "line 1 must name .*; missing label, found: path, class"),
        (["image,label", "a.png,x"], "line 1 must name .*; missing path, found"),
        (["", "file,class,set", "a.png,x,y"], "line 2 must name .*; missing path, label, found"),
        (["path;label", "a.png;x"], "missing path, label, found: path;label. Separate .* commas"),
        (["path,label,Label", "a.png,x,y"], "line 1 must name .*; label comes twice"),
        ([HEAD, "a.png,x,train", ",x,test"], "line 3: the path must not be empty"),
        ([HEAD, "a.png,x,train", "b.png, ,test"], "line 3: the label must not be empty"),
        ([HEAD, "a.png,x,train", "", "b.png,x,"], "line 4: the split must not be empty"),
        (
            [HEAD, "a.png,x,trian"],
            'line 2: the split must be one of .* received "trian". .* "train"',
        ),
        (
            [HEAD, '"a', '.png",x,tset', "b.png"],
            'line 2: the split must be .* received "tset". .* "test"',
        ),
        ([HEAD, "a.png,x"], "line 2 must have 3 cells like the first row, found 2"),
        (["a.png,x", "b,c.png,y"], "line 2 must have 2 cells .* found 3. A path with a comma"),
        (['"a\n.png",x', 'b".png,x', '"c"d,x'], "line 4 is not CSV: .*',' expected"),
        (["a.png,x", '"b.png,x', "c.png,x"], "line 2 is not CSV: unexpected end of data"),
        (["a.png,Cat", "b.png,cat"], 'case: "Cat" and "cat" in .*table.csv'),
        (["a.png,cat", "b.png,cat"], 'two classes are needed, found only "cat" in .*table.csv'),
        (["a.png,cat", "b.png,dog"], "test must leave one example of every class"),
        (["path,label"], "table.csv must list images, found none"),
        (["a.png,0.5", "b.png,1.5"], 'line 1: labels must be names .* the number "0.5". A net'),
        (["a.png,1", "b.png,1.0"], 'line 2: labels must be names .* received the number "1.0"'),
        (['a.png,"0,5"', 'b.png,"1,5"'], 'line 1: labels must be .* the number "0,5"'),
        (["a.png,1e3", "b.png,nan"], 'line 1: labels must be names .* the number "1e3"'),
        (["a.png,cat;indoor", "b.png,dog"], 'line 1: the label must be one class.*"cat;indoor"'),
        (["a.png,dog", "b.png,cat|indoor"], 'line 2: the label must be one class.*"cat|indoor"'),
        (["a.png,x", 'b.png,"x, y"', "c.png,y"], 'line 2: .* one class, received several .*"x, y"'),
        (["a.png,x", 'b.png,"big', 'cat"'], r'line 2: .*one line of text, received "big.x0acat"'),
        (["a.png,x", "b.png,\x1b[2Jy"], r'line 2: the label must be .* received ".x1b\[2Jy"'),
        (["https://host/a.png,x", "b.png,y"], 'line 1: "https://host/a.png" cannot be read: https'),
        (["a.png,x", "hTTp://host/b.png,y"], 'line 2: "hTTp://host/b.png" cannot be read: hTTp://'),
        ([], "table.csv must list images, found none"),
        (["file,class", "a.png,x"], 'line 1: the file ".*file" does not .* call them path and'),
        (["a.png,x", "sub\\b.png,y"], r"line 2: the file .* like 1 of 2 .* folders with /\."),
        ([HEAD, "a.png,x,val", "b.png,y,test"], 'include "train": the split column of .*table'),
        ([HEAD, "a.png,x,train", "b.png,y,training"], '"train" and "training" would both be'),
        (
            [HEAD, "a.png,x,train", "b.png,y,train", "c.png,z,test"],
            'classes of test must be among those of train: "z" in .*table.csv has no training',
        ),
    ],
)
def test_what_is_refused_before_training(write: Write, lines: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        csv_source(write(*lines))


def test_encodings_and_missing_tables(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="table.csv, line 2 is not UTF-8. Save the table as UTF-8"):
        csv_source(write("a.png,x", "é.png,y", encoding="latin-1"))
    for path in (str(tmp_path / "none.csv"), str(tmp_path), ""):
        with pytest.raises(UsageError, match=f'must be that of a CSV file .* received "{path}"'):
            csv_source(path)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    table = write(*LABELLED)
    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(UsageError, match='table.csv" cannot be read: Permission denied.'):
        csv_source(table)
    monkeypatch.undo()
    os.remove(table)
    os.mkfifo(table)
    with pytest.raises(UsageError, match='table.csv" cannot be read: it is a named pipe'):
        csv_source(table)
