"""The word predict as a user runs it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from two_blocks import TWO_BLOCKS

from efficientnet_tf import config as config_lib
from efficientnet_tf.data.images.preprocessing import Preprocessing
from efficientnet_tf.export import saved_model
from efficientnet_tf.runs.checkpoint import Checkpointer, claim_model_dir

ROOT = Path(__file__).parents[2]
PHOTOS = sorted((Path(__file__).parents[1] / "golden" / "images").glob("*.jpg"))


# Several command lines in one process, to load TensorFlow once.
PROGRAM = """
import contextlib, io, json, os, sys
from efficientnet_tf.commands import command_line
answers = []
for arguments in json.loads(sys.argv[1]):
    sys.stdin = io.StringIO(os.environ["STDIN"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command_line.main(["main.py", "predict", *arguments])
    answers.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(answers))
"""


def predict(folder: Path, *commands: list[str], stdin: str) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each command line."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "STDIN": stdin},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_state: Any) -> Path:
    """A run, its export, and photos with a broken one in the middle."""
    folder = tmp_path_factory.mktemp("script")
    state = tiny_state(classifier_activation="softmax")
    config = config_lib.ExperimentConfig()
    config.model.width_coefficient = 0.1
    config.model.blocks_args = TWO_BLOCKS
    config.model.resolution = 16
    config.data.source = "digits"
    claim_model_dir(str(folder / "run"), config)
    Checkpointer(str(folder / "run"), state, keep=1).save_best(1)
    names = [f"class {number}" for number in range(10)]
    saved_model.save(
        state.model,
        str(folder / "run" / "export"),
        Preprocessing(16),
        class_names=names,
        metadata={"class_names": names},
    )
    (folder / "photos" / "more").mkdir(parents=True)
    shutil.copy(PHOTOS[0], folder / "photos" / "a.jpg")
    (folder / "photos" / "b.jpg").write_bytes(PHOTOS[1].read_bytes()[:5000])
    shutil.copy(PHOTOS[2], folder / "photos" / "more" / "c.jpg")
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, tuple[int, str, str]]:
    """Of the run and of its export as tables, and of the run without a table."""
    (folder / "names.txt").write_text("".join(f"thing {number}\n" for number in range(10)))
    images = ("photos", "photos/*.jpg", "-")
    found = predict(
        folder,
        ["--model_dir=run", *images, "--output=run.csv", "--top=3"],
        ["--saved_model=run/export", *images, "--output=export.csv", "--top=3"],
        ["--model_dir=run", "--top=2", "--class_names=names.txt", "photos/a.jpg"],
        stdin="photos/a.jpg\nno.jpg\n",
    )
    return dict(zip(("run.csv", "export.csv", "lines"), found, strict=True))


def test_a_run_and_its_export_give_the_same_table(folder: Path, answers: Any) -> None:
    """Files, folders, a quoted pattern and a list; the broken image is listed, not more."""
    for name in ("run.csv", "export.csv"):
        code, out, err = answers[name]
        assert code == 1, err
        assert "unusable: photos/b.jpg: " in err
        assert "unusable: no.jpg: The file cannot be read: No such file" in err
        assert "predicting: 7/7 images" in err
        assert "images/s" in err
        assert out == f"7 images: {name}\n"
    run, exported = (
        list(csv.DictReader((folder / name).read_text().splitlines()))
        for name in ("run.csv", "export.csv")
    )
    assert [row["path"] for row in run] == [
        *("photos/a.jpg", "photos/b.jpg", "photos/more/c.jpg"),
        *("photos/a.jpg", "photos/b.jpg", "photos/a.jpg", "no.jpg"),
    ]
    assert [bool(row["error"]) for row in run] == [False, True, False, False, True, False, True]
    assert run[0] == {**run[3], "path": run[0]["path"]}
    for one, other in zip(run, exported, strict=True):
        for rank in ("1", "2", "3"):
            assert one[f"name_{rank}"] == other[f"name_{rank}"]
            if not one["error"]:
                assert one[f"name_{rank}"] == f"class {one[f'class_{rank}']}"
                assert float(one[f"probability_{rank}"]) == pytest.approx(
                    float(other[f"probability_{rank}"]), abs=1e-5
                )


def test_without_a_file_each_image_is_a_line(answers: Any) -> None:
    code, out, err = answers["lines"]
    assert code == 0, err
    (line,) = out.splitlines()
    assert line.startswith("photos/a.jpg: thing ")
    assert line.count(" %") == 2


INTERRUPTED = """
import os, signal, sys
from efficientnet_tf.commands import command_line
from efficientnet_tf.inference.predict import Classifier

every = Classifier.predict


def predict(self, paths, **options):
    for place, outcome in enumerate(every(self, paths, **options)):
        if place == 3:
            os.kill(os.getpid(), signal.SIGINT)
        yield outcome


Classifier.predict = predict
sys.exit(command_line.main(["main.py", "predict", *sys.argv[2:]]))
"""


def test_an_interrupt_keeps_what_was_done(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "-", "--model_dir=run", "-", "--output=part.jsonl"],
        input="photos/a.jpg\n" * 50,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 130, done.stderr
    assert len((folder / "part.jsonl").read_text().splitlines()) == 4
    assert "interrupted after 4 of 50 images" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos"], "one of --model_dir, --saved_model and --weights, received none"),
        (
            ["--model_dir=run", "--weights=x", "photos"],
            "received --model_dir and --weights",
        ),
        (["--model_dir=run", "--model=efficientnet-b0", "photos"], "--model goes with --weights"),
        (["--saved_model=run/export", "--resolution=32", "photos"], "of a SavedModel is fixed"),
        (["--model_dir=run", "--submission=s.txt", "photos"], "--devkit go together"),
        (
            ["--model_dir=run", "--submission=s.txt", "--devkit=photos", "photos"],
            "--devkit must be the folder",
        ),
        (["--model_dir=run"], "no images: give files"),
        (["--model_dir=run", "none.jpg"], 'no image file or folder "none.jpg"'),
        (["--model_dir=run", "photos/*.webp"], 'no images match "photos/*.webp"'),
        (["--model_dir=run", "--output=x.xls", "photos"], "--output must end in .csv"),
        (["--model_dir=run", "--output=photos/a.jpg/x.csv", "photos"], "cannot be written"),
        (["--model_dir=run", "--topp=3", "photos"], "See --help"),
        (["--model_dir=run", "--top=0", "photos"], "See --help"),
    ],
)
def test_wrong_use_is_answered_before_tensorflow_is_loaded(
    folder: Path, arguments: list[str], message: str
) -> None:
    program = (
        "import sys\n"
        "from efficientnet_tf.commands import command_line\n"
        f"code = command_line.main(['main.py', 'predict', *{arguments!r}])\n"
        "print(code, 'tensorflow' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == "2 False\n"
