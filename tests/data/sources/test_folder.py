"""Folders of class folders: both layouts, what counts as an image, and what is refused."""

import json
import logging
import os
import subprocess
import sys
import textwrap
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from efficientnet_tf.data.sources import folder
from efficientnet_tf.data.sources.files import FileSource
from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.data.sources.holdout import places
from efficientnet_tf.errors import UsageError

Make = Callable[..., Path]
IMAGES = Path(__file__).parents[2] / "golden" / "images"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes files, with the path as content, into tmp_path/data; `name*3` makes three."""

    def write(*paths: str) -> Path:
        root = tmp_path / "data"
        for path in paths:
            name, _, count = path.partition("*")
            for number in range(int(count or 1)):
                file = root / (name.replace(".", f"{number}.") if count else name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(file.name)
        return root

    return write


def contents(source: FileSource, split: str) -> list[tuple[str, str]]:
    """(class, path below the source) of every example, once it is known that it is read."""
    root = source.root.decode()
    found = []
    for example in source.examples(split).as_numpy_iterator():
        path = source.place(split, int(example["index"]))
        assert example["image"].decode() == os.path.basename(path)
        found.append((source.class_names[example["label"]], path.removeprefix(root)))
    return found


def test_class_folders_are_split_by_class(make: Make) -> None:
    root = make("dog/a.jpg*40", "cat/b.png*20", "ant/c.bmp*60")
    source = folder_source(str(root))
    assert source.name == "folder:data"
    assert source.class_names == ("ant", "cat", "dog")
    seen = {split: contents(source, split) for split in source.num_examples}
    every = sum(seen.values(), [])
    assert len(set(every)) == 120
    assert all(path.startswith(f"{name}/") for name, path in every)
    for name in ("ant", "cat", "dog"):
        numbers = {path: places([path], 0)[0] for found, path in every if found == name}
        lowest = [path for path, number in numbers.items() if number < 0.1]
        highest = [path for path, number in numbers.items() if number >= 0.9]
        tested, judged = (
            [path for found, path in seen[split] if found == name] for split in ("test", "minival")
        )
        assert sorted(tested) == sorted(lowest or [min(numbers, key=numbers.get)])
        assert sorted(judged) == sorted(highest or [max(numbers, key=numbers.get)])

    assert contents(folder_source(f"{root}/"), "test") == seen["test"]
    other = folder_source(str(root), split_seed=1, test=30, minival=3)
    assert other.num_examples == {"train": 87, "minival": 3, "test": 30}
    assert not set(seen["test"]) <= set(contents(other, "test"))


def test_split_folders(make: Make) -> None:
    root = make("train/cat/a.jpg*8", "train/dog/b.jpg*8", "val/cat/c.jpg*3", "test/dog/d.jpg")
    source = folder_source(str(root))
    assert source.num_examples == {"train": 16, "minival": 3, "test": 1}
    assert source.class_names == ("cat", "dog")  # no cat in test, which is fine
    assert contents(source, "test") == [("dog", "test/dog/d.jpg")]
    assert contents(source, "minival")[2] == ("cat", "val/cat/c2.jpg")
    with pytest.raises(
        UsageError, match=r"minival must be 0, received 4: .*/data/ has a minival split"
    ):
        folder_source(str(root), minival=4)


def test_whole_folders_are_for_evaluation(make: Make) -> None:
    """Also what nothing could be held out of; splits do not count."""
    source = folder_source(str(make("dog/a.jpg", "cat/b.png")), whole=True)
    assert source.num_examples == {"train": 0, "minival": 0, "test": 2}
    assert contents(source, "test") == [("cat", "cat/b.png"), ("dog", "dog/a.jpg")]


def test_whole_folders_with_splits(make: Make) -> None:
    root = make("train/dog/a.jpg", "train/cat/b.jpg", "val/dog/c.jpg", "test/cat/d.jpg")
    source = folder_source(str(root), whole=True)
    assert {path for _, path in contents(source, "test")} == {
        "train/dog/a.jpg",
        "train/cat/b.jpg",
        "val/dog/c.jpg",
        "test/cat/d.jpg",
    }


def test_val_is_test_where_there_is_none_as_for_imagenet(make: Make) -> None:
    root = make("Train/1/a.jpg*10", "Train/2/a.jpg*10", "Val/1/v.jpg*7")
    source = folder_source(str(root), minival=2)
    assert source.num_examples == {"train": 18, "minival": 2, "test": 7}
    minival = contents(source, "minival")
    assert [name for name, _ in minival] == ["1", "2"]
    assert not set(minival) & set(contents(source, "train"))


def test_images_are_sorted_folder_after_folder(make: Make) -> None:
    # On what file systems list first, which rows are held out must not depend.
    names = [f"{(7 * i) % 31}.jpg" for i in range(31)]
    paths = [f"test/a/{folder}{name}" for folder in ("", "z/", "c/", "c/x/") for name in names]
    root = make("train/a/a.jpg*3", "train/b/b.jpg*3", *paths)
    found = [path for _, path in contents(folder_source(str(root)), "test")]
    inner = [f"test/a/{folder}" for folder in ("", "c/", "c/x/", "z/")]
    assert found == [folder + name for folder in inner for name in sorted(names)]


def test_classes_called_train_and_test(make: Make) -> None:
    source = folder_source(str(make("train/a.jpg*4", "test/b.jpg*4", "ship/c.jpg*4")))
    assert source.class_names == ("ship", "test", "train")


def test_what_is_an_image(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    extensions = ("jpg", "JPEG", "Png", "webp", "BMP", "gif")
    images = [f"a/photo.{extension}" for extension in extensions] + [
        "a/deep/er/x y.jpg",
        "a/日本語/猫.jpeg",
        "b/two.dots.jpg",
        "b/z.jpg",
    ]
    ignored = ["b/.DS_Store", "b/Thumbs.db", "b/.hidden.jpg", ".git/x.jpg", "b/.cache/y.jpg"]
    others = ["b/notes.txt", "b/deep/more.txt", "LICENSE", "a/x.tif"]
    root = make(*images, *ignored, *others, "loose.png")
    with caplog.at_level(logging.WARNING):
        source = folder_source(str(root))
    every = {path for split in source.num_examples for _, path in contents(source, split)}
    assert every == set(images)
    [loose, other] = [record.getMessage() for record in caplog.records]
    assert "1 images in" in loose
    assert loose.endswith('beside the class folders and are not used: "loose.png".')
    assert "4 files in" in other
    assert "not used: 2 .txt, 1 no extension, 1 .tif, such as LICENSE." in other


def test_folders_beside_the_splits_are_mentioned(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    root = make("train/a/x.jpg*3", "train/b/x.jpg*3", "annotations/x.xml", "test/a/y.jpg")
    folder_source(str(root))
    assert 'is read as splits (test, train); not used: "annotations".' in caplog.text


def test_symbolic_links(make: Make, tmp_path: Path) -> None:
    root = make("cat/a.jpg*4", "dog/b.jpg*4")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.jpg").write_text("c.jpg")
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "again").symlink_to(tmp_path / "elsewhere")
    (root / "cat" / "self").symlink_to(root / "cat")
    (root / "cat" / "up").symlink_to(root)
    (root / "dog" / "file.jpg").symlink_to(root / "dog" / "b0.jpg")
    (root / "owl").symlink_to(tmp_path / "owls")
    (tmp_path / "owls").mkdir()
    (tmp_path / "owls" / "o.jpg").write_text("o.jpg")
    source = folder_source(str(root))
    names = [source.place(s, i) for s, count in source.num_examples.items() for i in range(count)]
    found = {name.removeprefix(f"{root}/") for name in names}
    expected = {f"cat/a{i}.jpg" for i in range(4)} | {f"dog/b{i}.jpg" for i in range(4)}
    assert found == expected | {"cat/again/c.jpg", "dog/file.jpg", "owl/o.jpg"}
    assert len(names) == 11

    (root / "dog" / "cats").symlink_to(root / "cat")
    with pytest.raises(UsageError, match='one class, but "cat" and "dog" in .* symbolic link'):
        folder_source(str(root))


def test_a_bucket(caplog: pytest.LogCaptureFixture) -> None:
    # TensorFlow's file system in memory stands for gs://: the same functions, no network.
    for name in ("dog/a.jpg", "dog/b.PNG", "dog/deep/c.jpg", "cat/d.jpg", "cat/e.jpg", "cat/f.txt"):
        path = f"ram://bucket/set/{name}"
        tf.io.gfile.makedirs(os.path.dirname(path))
        with tf.io.gfile.GFile(path, "w") as file:
            file.write(os.path.basename(path))
    source = folder_source("ram://bucket/set")
    assert source.name == "folder:set"
    every = sorted(path for split in source.num_examples for _, path in contents(source, split))
    assert every == ["cat/d.jpg", "cat/e.jpg", "dog/a.jpg", "dog/b.PNG", "dog/deep/c.jpg"]
    assert "1 files in ram://bucket/set/ are not images" in caplog.text


def test_listings_of_a_bucket_mark_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    gfile = tf.io.gfile
    monkeypatch.setattr(gfile, "listdir", lambda path: ["b/", "a.jpg", "x.txt", ".h/", "a/"])
    monkeypatch.setattr(gfile, "isdir", lambda path: False)
    assert folder._entries("gs://bucket/set") == (["a", "b"], ["a.jpg", "x.txt"])


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["cat/a.jpg"], 'two classes are needed, found only "cat" in the folders of .*data/.* If'),
        (["cat/a.jpg", "dog/b.txt"], r'none for "dog" in .*\(looked for .jpg, .*.gif\). Add'),
        (["a/1.jpg", *(f"{x}/n.txt" for x in "bcdef")], '"b", "c", "d" and 2 more in'),
        (["cat/a.txt*3", "dog/b.tif"], r"there are no images \(.*webp.*: 3 .txt, 1 .tif\)"),
        (["a.jpg*3"], "there are 3 images, but not in class folders .*other files: none"),
        (["Cat/a.jpg", "cat/b.jpg"], 'upper and lower case: "Cat" and "cat" in the folders of'),
        (
            ["train/cat/a.jpg", "train/dog/b.jpg", "test/Dog/a.jpg"],
            'classes of test .*: "Dog" in .*data/ has no training images. Did you mean "dog"',
        ),
        (["train/a/a.jpg", "train/b/b.jpg", "test/x.jpg"], "data/test/ must .* and 1 images dir"),
        (["train/a/a.jpg", "train/b/b.jpg", "val/n.txt"], "data/val/ must hold class .* none. S"),
        (["val/cat/a.jpg", "test/cat/b.jpg"], 'splits must include "train": .* only test, val'),
        (["train/a/a.jpg", "Train/b/b.jpg"], '"Train" and "train" would both be train'),
        (["cat/a.jpg", "dog/b.jpg"], "test must leave one example of every class in train: 1 of 2"),
        (["cat/a.jpg*2", "dog/b.jpg"], "minival must leave .*: 1 of 3 were to be .* 0 can be"),
    ],
)
def test_what_is_refused_before_training(make: Make, paths: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        folder_source(str(make(*paths)))


def test_twins_of_unicode_are_refused(make: Make) -> None:
    root = make(*(f"{unicodedata.normalize(form, 'café')}/a.jpg" for form in ("NFC", "NFD")))
    with pytest.raises(UsageError, match=r"unicode form .*'cafe\\u0301' and 'caf\\xe9' in the"):
        folder_source(str(root))


def test_places_that_are_no_folders(make: Make, tmp_path: Path) -> None:
    file = make("cat/a.jpg") / "cat" / "a.jpg"
    for path in (str(tmp_path / "nowhere"), str(file), ""):
        with pytest.raises(UsageError, match=f'a folder for each class; "{path}" is not a folder'):
            folder_source(path)
    with pytest.raises(UsageError, match="nowhere/ cannot be listed: No such file or directory"):
        folder._entries(f"{tmp_path}/nowhere/")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "data" / "dog")
    with pytest.raises(UsageError, match="cannot be listed: Too many levels of symbolic links"):
        folder_source(str(tmp_path / "data"))


@pytest.mark.parametrize("per_class", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_large_folder_starts_fast_and_small(tmp_path: Path, per_class: int) -> None:
    """Of 100,000 files the first batch in 10 s, within 1 GiB."""
    photos = [path.read_bytes() for path in sorted(IMAGES.glob("*.jpg"))]
    root = tmp_path / "large"
    for label in range(100):  # file systems limit the links to one file: 1,000 each
        class_folder = root / f"class {label}"
        class_folder.mkdir(parents=True)
        first = class_folder / "0.JPEG"
        first.write_bytes(photos[label % len(photos)])
        for number in range(1, per_class):
            os.link(first, class_folder / f"{number}.JPEG")
    program = """
        import json, sys, time
        import tensorflow as tf
        from efficientnet_tf.data.sources.folder import folder_source
        from efficientnet_tf.data.pipeline import train_dataset
        from efficientnet_tf.data.images.preprocessing import Preprocessing

        begin = time.monotonic()
        source = folder_source(sys.argv[1])
        dataset = train_dataset(source, Preprocessing(224), global_batch_size=32, seed=0)
        shape = next(iter(dataset))["image"].shape.as_list()
        seconds = time.monotonic() - begin
        # The highest so far, in kB; that of getrusage begins with the parent's.
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        peak = int(status["VmHWM"].split()[0])
        print(json.dumps([source.num_examples, shape, seconds, peak]))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    for class_folder in root.iterdir():  # not 100,000 files for each of pytest's kept runs
        for file in class_folder.iterdir():
            file.unlink()
    counts, shape, seconds, peak = json.loads(run.stdout.splitlines()[-1])
    assert sum(counts.values()) == 100 * per_class
    for split in ("minival", "test"):  # a tenth of 100 * per_class, give or take 5 deviations
        assert abs(counts[split] - 10 * per_class) < 5 * (9 * per_class) ** 0.5
    assert shape == [32, 224, 224, 3]
    assert seconds < 10
    assert peak < 2**20
