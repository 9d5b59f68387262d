"""What shows once TensorFlow is there: a mistake is one message, success writes no error."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from main_command import NOISE, ROOT, call

PHOTO = ROOT / "tests" / "golden" / "images" / "camera_gray_333x500_q90.jpg"
# Several command lines in one process, to load TensorFlow once.
DRIVER = """
import json, os, sys, tempfile
from efficientnet_tf.commands import command_line
answers = {}
for name, flags in json.load(open(sys.argv[1])).items():
    if name.startswith("remove "):
        os.remove(flags)
        continue
    sys.argv = ["main.py", *flags]
    saved = os.dup(1), os.dup(2)
    files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    try:
        code = command_line.main(sys.argv)
    except BaseException as error:
        code = repr(error)
    sys.stdout.flush(), sys.stderr.flush()
    for number, (file, fd) in enumerate(zip(files, saved), 1):
        os.dup2(fd, number), os.close(fd), file.seek(0)
    answers[name] = [code, *(file.read().decode() for file in files)]
print(json.dumps(answers))
"""

TINY = [
    "--mode=train",
    "--config.model.blocks_args=('r1_k3_s22_e1_i32_o16_se0.25',)",
    "--config.train.global_batch_size=32",
    "--config.train.epochs=0.06",  # two steps
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, str, str]]:
    """Exit code, output and errors of each command line by its name."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "file").write_text("")
    (folder / "no_files").mkdir()
    broken = folder / "broken"
    broken.mkdir()
    for split in ("train", "validation"):
        with tf.io.TFRecordWriter(str(broken / f"{split}-00000-of-00001")) as writer:
            encoded = PHOTO.read_bytes()
            for image in (encoded, encoded[:300], encoded):
                feature = {
                    "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
                    "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[1])),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    run = folder / "run"
    digits = [f"--config={ROOT}/configs/digits.py", *TINY]
    imagenet = [f"--config={ROOT}/configs/imagenet.py", *TINY, "--config.model.resolution=32"]
    commands: dict[str, Any] = {
        "no data_dir": imagenet,
        "data_dir is no folder": [*imagenet, f"--data_dir={folder}/none"],
        "data_dir without files": [*imagenet, f"--data_dir={folder}/no_files"],
        "data_dir for digits": [*digits, f"--data_dir={folder}"],
        "model_dir cannot be made": [*digits, f"--model_dir={folder}/file/run"],
        "nothing to evaluate": [*digits, f"--model_dir={folder}/empty", "--mode=eval"],
        "nothing to export": [*digits, f"--model_dir={folder}/empty", "--mode=export"],
        "broken image": [
            *imagenet,
            f"--data_dir={broken}",
            f"--model_dir={folder}/broken_run",
            "--config.data.minival_shards=0",
            "--config.data.augment=none",
            "--config.train.global_batch_size=3",
            "--config.train.epochs=1",
        ],
        "train": [*digits, f"--model_dir={run}"],
        "the run alone": ["evaluate", f"--model_dir={run}", "--split=test"],
        "another resolution": [
            *digits,
            f"--model_dir={run}",
            "--mode=eval",
            "--split=test",
            "--eval_resolution=32",
        ],
        "another source": [
            *digits,
            f"--model_dir={run}",
            "--mode=eval",
            f"--eval_source=folder:{folder}/none",
        ],
        "another source without a run": [
            *digits,
            f"--model_dir={folder}/empty",
            "--mode=eval",
            "--eval_source=digits",
        ],
        "another seed": [*digits, f"--model_dir={run}", "--config.train.seed=3"],
        "remove data": f"{run}/checkpoints/ckpt-2.data-00000-of-00001",
        "lost data": [*digits, f"--model_dir={run}"],
        "remove config": f"{run}/config.json",
        "lost config": [*digits, f"--model_dir={run}", "--config.optimizer.weight_decay=0.5"],
    }
    (folder / "commands.json").write_text(json.dumps(commands))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder / "commands.json")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    # What was refused has left nothing behind that would stand in the way of the right command.
    assert not (folder / "empty").exists()
    assert not (run / "config.json").exists()
    return {
        name: (code, out.replace(str(folder), "DIR"), err.replace(str(folder), "DIR"))
        for name, (code, out, err) in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "no data_dir",
            [
                "data_dir must be a folder (or gs://bucket/folder) with TFRecord files",
                "no data_dir was given",
            ],
        ),
        ("data_dir is no folder", ['"DIR/none" is not a folder']),
        (
            "data_dir without files",
            ["data_dir must hold one set of train-NNNNN-of-MMMMM files", "none in DIR/no_files"],
        ),
        ("data_dir for digits", ['data_dir is not read by the data set "digits"']),
        (
            "model_dir cannot be made",
            ['--model_dir: "DIR/file/run" cannot be written', "Give a folder that you may write"],
        ),
        (
            "nothing to evaluate",
            ['--model_dir: no checkpoint in "DIR/empty"', "--mode=train_and_eval"],
        ),
        ("another source", ["--eval_source=folder:DIR/none (with", '"DIR/none" is not a folder']),
        ("another source without a run", ['--model_dir: no checkpoint in "DIR/empty"']),
        ("nothing to export", ['--model_dir: no checkpoint in "DIR/empty"']),
        (
            "another seed",
            [
                '--model_dir: "DIR/run" holds a run with another configuration (theirs -> yours):',
                "\n  train.seed: 0 -> 3\n",
                "or another --model_dir",
            ],
        ),
        (
            "lost data",
            [
                'the checkpoint "DIR/run/checkpoints/ckpt-2" cannot be read: ',
                "\nNo other checkpoint is there. Put the files back from a copy, use another",
                "--start_anew",
            ],
        ),
        (
            "lost config",
            ['"DIR/run" holds checkpoints but no config.json', "\nPut config.json back"],
        ),
    ],
)
def test_what_goes_wrong_later_is_one_message_too(
    answers: Any, name: str, parts: list[str]
) -> None:
    code, out, err = answers[name]
    assert code == 2, err
    assert err.startswith("error: ")
    assert err.count("error: ") == 1
    for part in parts:
        assert part in err
    assert not NOISE.search(err), err
    assert not NOISE.search(out), out


def test_a_broken_image_is_named_with_its_file(answers: Any) -> None:
    code, _, err = answers["broken image"]
    assert code == 1
    # libjpeg writes to standard error on its own, which cannot be told to it.
    lines = [line for line in err.splitlines() if "JPEG library" not in line]
    assert lines == [
        "DIR/broken does not say how many classes there are, so 1000 are taken; but labels of the "
        "1 training files looked at are no more than 1. Give the number of classes: "
        "--config.data.num_classes (check-data and prepare: --classes).",
        "Data error (Invalid JPEG data, size 300.); looking for the bad example.",
        "error: DIR/broken/train-00000-of-00001, record 1 (counted from 0) cannot be used: "
        "Invalid JPEG data, size 300. Write or copy the file again, remove it, or pass over it "
        "with --config.data.on_error=skip.",
    ]


def test_what_is_right_writes_no_error(answers: Any) -> None:
    code, out, err = answers["train"]
    assert (code, err) == (0, "")
    assert "10 classes, 64x64 pixels" in out
    code, out, err = answers["the run alone"]
    assert (code, err) == (0, "")
    assert "(359 images) -> DIR/run/evaluation-test.json" in out
    code, out, err = answers["another resolution"]
    assert (code, err) == (0, "")
    assert "10 classes, 32x32 pixels" in out
    assert "(359 images) -> DIR/run/evaluation-test-32px.json" in out


def test_a_missing_tpu_is_one_message(tmp_path: Path) -> None:
    done = call(f"--config={ROOT}/configs/digits.py", *TINY, "--tpu=local", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: no TPU found for --tpu=local: ")
    assert "tensorflow-tpu" in done.stderr
    assert "Without --tpu the same command runs" in done.stderr
    assert not NOISE.search(done.stderr), done.stderr
    assert os.listdir(tmp_path) == [], "a run that never started left something behind"
