"""Runs side by side, as a user sees them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from efficientnet_tf.errors import UsageError
from efficientnet_tf.report import comparison

ROOT = Path(__file__).parents[2]
Make = Callable[..., Path]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "main.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_table_and_a_page(make_run: Make, tmp_path: Path) -> None:
    one = make_run(tmp_path / "one")
    two = make_run(tmp_path / "two", **{"train.seed": 1, "optimizer.weight_decay": 0.0})
    (two / "evaluation-test.json").unlink()
    out = tmp_path / "out.html"
    done = run("compare", str(one), str(two), f"--output={out}")
    assert done.returncode == 0, done.stderr
    rows = {line[: line.find("  ")]: line.split()[-2:] for line in done.stdout.splitlines()}
    assert rows["train.seed"] == ["0", "1"]
    assert rows["optimizer.weight_decay"] == ["1e-05", "0.0"]
    assert rows["images/s in training"] == ["160", "160"]
    assert rows["test top-1"][1] == "–"
    assert "train.epochs" not in done.stdout
    assert done.stdout.endswith(f"comparison: {out}\n")
    page = out.read_text()
    assert page.count('<svg class="chart"') == 4
    assert "one: minival, averaged weights" in page
    assert "two: minival, averaged weights" in page


def test_equal_configurations_and_equal_names(make_run: Make, tmp_path: Path) -> None:
    folders = [str(make_run(tmp_path / parent / "run")) for parent in "ab"]
    runs = comparison.read_runs(folders)
    assert list(runs) == folders
    assert "The configurations are the same." in comparison.text(runs)
    for folder, test in zip(folders, "xy", strict=True):
        splits = {name: {"images": 3, "fingerprint": "x" * 32} for name in ("train", "minival")}
        splits["test"] = {"images": 4, "fingerprint": test * 32}
        Path(folder, "data.json").write_text(json.dumps({"splits": splits}))
    said = comparison.text(comparison.read_runs(folders))
    assert "test images, fingerprint 4, xxxxxxxx 4, yyyyyyyy" in " ".join(said.split())
    assert "train images" not in said


def test_wrong_use(make_run: Make, tmp_path: Path) -> None:
    one = str(make_run(tmp_path / "one"))
    with pytest.raises(UsageError, match="at least two runs"):
        comparison.read_runs([one])
    with pytest.raises(UsageError, match="is given twice"):
        comparison.read_runs([one, one])
    with pytest.raises(UsageError, match="at most 6 runs"):
        comparison.read_runs([one] * 7)
    with pytest.raises(UsageError, match=r'no run in ".*none"'):
        comparison.read_runs([one, str(tmp_path / "none")])


def test_the_messages_of_both_words(make_run: Make, tmp_path: Path) -> None:
    one, two = (str(make_run(tmp_path / name)) for name in ("one", "two"))
    done = run("compare", one, two, f"--output={tmp_path}/none/out.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'out.html" cannot be written: No such file' in done.stderr
    done = run("report")
    assert done.returncode == 2
    assert "error: --model_dir is missing" in done.stderr
    done = run("report", one)
    assert done.returncode == 2
    assert "error: unexpected argument" in done.stderr
    done = run("report", f"--model_dir={one}", "--nopictures")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"report: {one}/report.html\n"
