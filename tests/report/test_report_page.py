"""What a report says, and that nothing missing, broken or badly named stops it."""

import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.data.sources.resampling import with_fold
from efficientnet_tf.errors import UsageError
from efficientnet_tf.report import comparison, page, pictures, write
from efficientnet_tf.report.paper import paper_row
from efficientnet_tf.report.run_files import read_run
from efficientnet_tf.report.write import try_report, unnamed_data, write_report
from efficientnet_tf.runs.predictions import Predictions, save

Make = Callable[..., Path]
# What may stand behind an address in a page that needs no other file.
ADDRESS = re.compile(
    r"""(?:\bsrc|href|srcset|action|poster)\s*=\s*["']?([^"'\s>]*)|url\(([^)]*)\)"""
)


def section(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', text, re.DOTALL)
    assert found, name
    return found.group(1)


@pytest.fixture(scope="module")
def text(whole_run: Path) -> str:
    return Path(write_report(str(whole_run))).read_text()


def test_one_file_that_needs_no_other(text: str, whole_run: Path) -> None:
    addresses = {(a or b).strip("\"'") for a, b in ADDRESS.findall(text)}
    assert len(addresses) > 50
    assert [each for each in addresses if not each.startswith(("data:", "#"))] == []
    assert "@import" not in text
    assert "<script" not in text
    assert (whole_run / "report.html").stat().st_size < 5_000_000


def test_ids_are_unique_and_found(text: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text)) <= set(ids)


def test_names_are_escaped(text: str) -> None:
    assert "<b>zero</b>" not in text
    assert "&lt;b&gt;zero&lt;/b&gt;" in section(text, "classes")
    assert "&lt;b&gt;zero&lt;/b&gt;" in section(text, "confusion")  # inside the SVG
    assert "one &amp; only" in section(text, "classes")
    assert "drei…ß" in text
    assert "<h1>run &lt;i&gt;&amp;amp; ü</h1>" in text
    assert "python main.py --model_dir=&#39;a &lt;&amp;&gt; b&#39;" in text


def test_what_stands_in_it(text: str, whole_run: Path) -> None:
    evaluation = json.loads((whole_run / "evaluation-test.json").read_text())
    results = section(text, "results")
    assert f"<b>{100 * evaluation['top1']:.2f} %</b>" in results
    assert f"{100 * evaluation['mean_per_class_accuracy']:.2f} %" in results
    assert "The paper has no row" in results
    assert f"error {100 * evaluation['calibration']['ece']:.2f} %" in section(text, "calibration")
    assert section(text, "curves").count("<svg") == 4
    assert section(text, "errors").count("<figure>") == pictures.WORST
    assert section(text, "right").count("<figure>") == pictures.BEST
    assert section(text, "errors").count("<img") == 2 * pictures.WORST  # each with its map
    assert section(text, "inputs").count("<img") == pictures.INPUTS
    assert "autoaugment+mixup(alpha=0.2)" in section(text, "inputs")
    assert "AMD EPYC" in section(text, "command")
    assert "2.21.0" in section(text, "command")
    config = section(text, "config")
    assert re.search(r'<tr class="changed"><td>data.source<td class="value">digits', config)
    assert "<tr><td>data.num_classes" in config


def test_time_is_split_by_hand_computation(text: str, whole_run: Path) -> None:
    # Six loops of 1.5 s after the first, seven of 0.5 s input, two evaluations, a checkpoint.
    assert read_run(str(whole_run)).seconds() == {
        "input": 3.5,
        "first": 1.5,
        "steps": 9.0,
        "evaluation": 6.0,
        "checkpoint": 1.0,
    }
    assert "21.0 s in all; 160 images/s" in section(text, "time")
    assert "42.9 %" in section(text, "time")  # 9 / 21


def test_worst_and_best_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.99, 0.01], [0.2, 0.8], [0.3, 0.7]], np.float32)
    labels = np.array([0, 1, 1, 1, 0], np.int32)
    worst, best = pictures.worst_and_best(Predictions(np.arange(5), labels, shares))
    assert worst.tolist() == [2, 4, 1]  # the true class has 0.01, 0.3, 0.4
    assert best.tolist() == [0, 3]


def test_pictures_are_of_the_places_asked_for() -> None:
    source = digits_source()
    images, labels = source.arrays["test"]
    stored = pictures.stored_examples(source, "test", [7, 3])
    assert sorted(stored) == [3, 7]
    np.testing.assert_array_equal(stored[7][0], images[7])
    assert stored[7][1] == labels[7]


def test_pictures_of_a_fold_are_of_that_fold(whole_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    (folder / "predictions-test.npz").unlink()
    (folder / "evaluation-test.json").rename(folder / "evaluation-minival.json")
    source = with_fold(digits_source(), folds=3, fold=1, seed=0)
    images, labels = (tensor.numpy() for tensor in source.arrays["minival"])
    rows = np.arange(len(labels))
    shares = np.full((len(labels), 10), 0.05, np.float32)
    shares[rows, (labels + 1) % 10] = 0.55  # all wrong, and the first ones are shown
    save(str(folder / "predictions-minival.npz"), Predictions(rows, labels, shares))
    config = json.loads((folder / "config.json").read_text())
    fold = {"data.folds": 3, "data.fold": 1, "data.split_seed": 0, "data.eval_crop": "none"}
    (folder / "config.json").write_text(json.dumps(config | fold))
    errors = section(Path(write_report(str(folder))).read_text(), "errors")
    preprocessing = Preprocessing(32, eval_crop="none")
    for image in images[: pictures.WORST]:
        shown = preprocessing.for_eval(tf.constant(image)).numpy()
        assert pictures.data_uri(shown) in errors
    (folder / "config.json").write_text(json.dumps(config))
    errors = section(Path(write_report(str(folder))).read_text(), "errors")
    assert "the data has changed" in errors
    assert "<img" not in errors


def test_mixed_labels() -> None:
    names = ["cat", "dog", "<hen>"]
    assert pictures.label_text(np.array(1), names) == "dog"
    assert pictures.label_text(np.array([0.7, 0.0, 0.3]), names) == "cat 70 % + <hen> 30 %"
    assert pictures.label_text(np.array([0.0, 1.0, 0.0]), names) == "dog"


@pytest.mark.parametrize(
    ("missing", "where", "sentence"),
    [
        ("predictions-test.npz", "errors", "no evaluation kept its answers"),
        ("evaluation-test.json", "results", "Nothing was evaluated yet"),
        ("evaluation-test.json", "classes", "holds no scores of single classes"),
        ("history.jsonl", "curves", "Nothing was logged."),
        ("timing.jsonl", "time", "There is no timing"),
        ("command.json", "command", "The command was not kept"),
    ],
)
def test_a_missing_file_leaves_a_sentence(
    make_run: Make, tmp_path: Path, missing: str, where: str, sentence: str
) -> None:
    folder = make_run(tmp_path / "run")
    (folder / missing).unlink()
    text = Path(write_report(str(folder), with_pictures=where == "errors")).read_text()
    assert sentence in section(text, where)
    assert text.count("<section") >= 9


def test_a_run_without_a_checkpoint_or_without_its_data(make_run: Make, tmp_path: Path) -> None:
    text = Path(write_report(str(make_run(tmp_path / "a")))).read_text()
    assert "no checkpoint" in section(text, "errors")
    assert "<img" in section(text, "inputs")
    folder = make_run(tmp_path / "b", **{"data.source": "folder:/nowhere"})
    text = Path(write_report(str(folder))).read_text()
    assert "--source=folder:/nowhere` opens it" in section(text, "errors")
    named = {"source": "folder:/nowhere"}
    text = Path(write_report(str(folder), named=named)).read_text()
    assert "the data cannot be read" in section(text, "errors")
    assert "the data cannot be read" in section(text, "inputs")


def test_files_that_a_received_run_names_are_not_opened(make_run: Make, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:x:0:0\n")
    folder = make_run(tmp_path / "received", **{"data.source": f"csv:{secret}"})
    text = Path(write_report(str(folder))).read_text()
    assert "root:x" not in text
    assert "was not opened" in section(text, "inputs")
    stored = {"data.source": "imagenet", "data.data_dir": "/x"}
    assert unnamed_data(stored, {}) == "--data_dir=/x"
    assert unnamed_data(stored, {"data_dir": "/y"}) == ""
    folder = make_run(tmp_path / "moved", **{"data.source": "folder:/gone"})
    text = Path(write_report(str(folder), named={"source": "digits"})).read_text()
    assert "<img" in section(text, "inputs")


def test_config_json_alone_is_enough(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    (folder / "config.json").write_text('{"model.name": "gone-b0", "data.source": "digits"}')
    text = Path(write_report(str(folder))).read_text()
    assert "gone-b0, on digits, nothing trained here yet" in text
    assert "does not know the network" in section(text, "inputs")


def test_damaged_files_are_named_and_passed_over(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    with (folder / "history.jsonl").open("a") as file:
        file.write('[3]\n{"step": 9, "lo')  # the last one is that of a killed process
    (folder / "evaluation-test.json").write_text("{")
    (folder / "versions.json").write_text("[]")
    (folder / "predictions-test.npz").write_bytes(b"no archive")
    text = Path(write_report(str(folder), with_pictures=False)).read_text()
    assert "history.jsonl, line 12: expected an object, received list." in text
    assert "evaluation-test.json&#34;, line 1: Expecting property name" in text
    assert "versions.json&#34;, line 1: expected an object, received list." in text


DAMAGE = (
    *(b"", b"\0", b"\xff\xfe", b"{", b"[]", b"null", b"[" * 99_999, b"9" * 5000),
    *(b'{"step": 1e999, "loss": 1}', b'{"step": 1, "loss": [1], "seconds/steps": "x"}'),
    *(b'{"top1": "x"}', b'{"loss": null}', b'{"per_class": 5}', b'{"per_class": [{}]}'),
    *(b'{"most_confused": [{"true": 1, "predicted": 2, "examples": 3}]}', b'{"calibration": {}}'),
    *(b'{"machine": "x"}', b'{"machine": null, "started": [1]}', b'{"items": 1}'),
)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("history.jsonl", "versions.json"),
        ("timing.jsonl", "command.json"),
        ("evaluation-test.json", "predictions-test.npz"),
    ],
)
def test_no_damage_of_a_file_is_a_traceback(
    make_run: Make, tmp_path: Path, name: str, other: str
) -> None:
    one, two = make_run(tmp_path / "one"), make_run(tmp_path / "two")
    for content in DAMAGE:
        for file in (name, other):
            (one / file).write_bytes(content)
        runs = comparison.read_runs([str(one), str(two)])
        assert "train" in comparison.text(runs)
        page.results(runs["one"]), page.time_split(runs["one"]), page.curves(runs["one"])
        if name.startswith("evaluation"):
            page.details(runs["one"])
    assert "</html>" in comparison.html(runs)
    assert Path(write_report(str(one), with_pictures=False)).exists()
    (one / name).unlink()
    os.mkfifo(one / name)
    assert any("no regular file" in each for each in read_run(str(one)).unreadable)


@pytest.mark.parametrize("value", [None, "x", [], 10**400, math.nan])
def test_no_value_of_a_stored_field_is_a_traceback(
    make_run: Make, tmp_path: Path, value: Any
) -> None:
    folder = make_run(tmp_path / "run")
    names = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(dict.fromkeys(names, value)))
    assert Path(write_report(str(folder), with_pictures=False)).exists()


def test_the_papers_row() -> None:
    b1 = {"model.name": "efficientnet-b1", "data.source": "imagenet"}
    row = paper_row(b1)
    assert row is not None
    assert (row.top1, row.top5, row.where) == (79.1, 94.4, "Table 2, EfficientNet-B1")
    assert paper_row({**b1, "model.width_coefficient": 1.4}) is None
    assert paper_row({**b1, "data.source": "digits"}) is None
    assert paper_row({**b1, "model.name": "resnet-50"}) is None
    pets = {"model.name": "efficientnet-b6", "data.source": "tfds:oxford_iiit_pet"}
    row = paper_row(pets)
    assert row is not None
    assert (row.top1, row.top5, row.where) == (
        95.4,
        None,
        "Table 5, Oxford-IIIT Pets, EfficientNet-B6",
    )


def test_the_papers_row_stands_beside_the_test(make_run: Make, tmp_path: Path) -> None:
    fields = dict.fromkeys(("width_coefficient", "depth_coefficient", "resolution"))
    changes: dict[str, Any] = {f"model.{name}": None for name in fields}
    folder = make_run(tmp_path / "run", **{**changes, "data.source": "imagenet"})
    text = Path(write_report(str(folder), with_pictures=False)).read_text()
    assert "77.1 %" in section(text, "results")
    assert "Table 2, EfficientNet-B0" in section(text, "results")


def test_many_classes_are_pairs_and_the_worst_thirty(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    per_class = [
        {
            "class": n,
            "name": f"name{n}",
            "examples": 5,
            "precision": 0.5,
            "recall": 0.5,
            "f1": n / 50,
        }
        for n in range(50)
    ]
    content = {"split": "test", "weights": "average", "step": 1, "top1": 0.5, "examples": 250}
    content |= {
        "per_class": per_class,
        "most_confused": [{"true": 3, "predicted": 4, "examples": 9}],
    }
    (folder / "evaluation-test.json").write_text(json.dumps(content))
    text = Path(write_report(str(folder), with_pictures=False)).read_text()
    assert "<td>name3<td>name4<td" in section(text, "confusion")
    assert "<svg" not in section(text, "confusion")
    assert "The 30 of 50" in section(text, "classes")
    assert "name29<" in section(text, "classes")
    assert "name30<" not in section(text, "classes")
    assert "holds no calibration" in section(text, "calibration")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.44, "0.4 s"), (200.2, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert page.duration(seconds) == shown


def test_no_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'no run in ".*" \(expected a file config.json\)'):
        write_report(str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UsageError, match=r'config.json", line 1: .*received list\.\nPut the file'):
        write_report(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match=r'config.json", line 1: .*\nPut the file back'):
        write_report(str(tmp_path))


def test_a_page_that_cannot_be_written(make_run: Make, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "report.html").mkdir()
    (folder / "report.html" / "in the way").touch()
    with pytest.raises(UsageError, match=r'report.html" cannot be written: it is a folder'):
        write_report(str(folder), with_pictures=False)
    line = try_report(str(folder), with_pictures=False)
    assert line.startswith("warning: no report: --model_dir: ")


def test_a_bug_of_the_report_is_a_warning(
    make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **named: Any) -> str:
        raise ZeroDivisionError("division by zero\nmore")

    monkeypatch.setattr(write, "write_report", fail)
    line = try_report(str(make_run(tmp_path / "run")))
    assert line.startswith(
        "warning: no report: ZeroDivisionError: division by zero. The run itself"
    )
    assert "\n" not in line


def test_a_network_without_maps_says_so(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: Any) -> Any:
        raise UsageError("no global average pooling")

    monkeypatch.setattr(pictures, "ActivationMapper", refuse)
    folder = tmp_path / "run"
    shutil.copytree(whole_run, folder)
    text = Path(write_report(str(folder))).read_text()
    assert "which this network does not have" in section(text, "errors")
    assert section(text, "errors").count("<img") == pictures.WORST


def test_evaluations_of_other_data_are_rows_without_paper_or_pictures(
    make_run: Make, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {f"model.{name}": None for name in ("width_coefficient",)}
    folder = make_run(tmp_path / "run", **changes)
    content = json.loads((folder / "evaluation-test.json").read_text())
    (folder / "evaluation-test.json").rename(folder / "evaluation-test-imagenet-v2.json")
    (folder / "predictions-test.npz").rename(folder / "predictions-test-imagenet-v2.npz")
    config = json.loads((folder / "config.json").read_text())
    config |= dict.fromkeys(("model.depth_coefficient", "model.resolution"))
    (folder / "config.json").write_text(json.dumps({**config, "data.source": "imagenet"}))
    run = read_run(str(folder))
    (row,) = page.results(run)
    assert (row["name"], row["paper"], row["top1"]) == ("test-imagenet-v2", None, content["top1"])
    (folder / "config.json").write_text(json.dumps({**config, "data.source": "digits"}))
    text = Path(write_report(str(folder))).read_text()
    assert "not of the run&#39;s own data" in section(text, "errors")
