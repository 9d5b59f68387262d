"""main.py reproduce as a user starts it, and each of its complaints."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.commands import command_line
from efficientnet_tf.errors import UsageError
from efficientnet_tf.reproduce import products
from efficientnet_tf.reproduce.results import gathered, read_results

ROOT = Path(__file__).parents[2]
ROW = {
    "model": "efficientnet-b0",
    "depth": 1.0,
    "width": 1.0,
    "resolution": 32,
    "multiply_adds": 7.5e6,
    "params": 4_000_000,
    "top1": 0.95,
    "seed": 0,
    "what": "digits, 30 epochs",
}


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "main.py", "reproduce", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_tables_and_figures_are_written_without_tensorflow(tmp_path: Path) -> None:
    results = write(tmp_path / "r.jsonl", ROW, {**ROW, "seed": 1, "top1": 0.97})
    out = tmp_path / "deep" / "out"
    program = (
        "import sys\n"
        "from efficientnet_tf.commands import command_line\n"
        "code = command_line.main()\n"
        "print('loaded', [name for name in ('tensorflow', 'keras') if name in sys.modules], code)\n"
    )
    arguments = ["reproduce", "table3", "figure8", f"--output_dir={out}", f"--results={results}"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "loaded [] 0" in done.stdout
    assert (
        "| mobilenet-v1 | width | w=2 | 224 | 2.2B | 2.216B | +0.7 % | 74.2 % |  |" in done.stdout
    )
    assert "96.00 ± 1.41 % (2 runs)" in done.stdout
    assert str(out / "figure8.svg") in done.stdout
    assert {path.name for path in out.iterdir()} == {
        "table3.md",
        "table3.csv",
        "table3_measured.csv",
        "figure8.png",
        "figure8.svg",
        "figure8.csv",
    }
    assert (out / "table3.md").read_text() in done.stdout


def test_wrong_use_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = run("tabel3", f"--output_dir={tmp_path / 'out'}")
    assert done.returncode == 2
    assert done.stderr.startswith('error: cannot reproduce "tabel3". Did you mean "table3"')
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["table7", "table3", "table7"], ["table7", "table3"]),
        (["table7", "all"], list(products.NAMES)),
    ],
)
def test_chosen(names: list[str], expected: list[str]) -> None:
    assert products.chosen(names) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "say what to reproduce: table1, table2, .*, or all"),
        (["figure2"], 'cannot reproduce "figure2". Did you mean "figure'),
        (["latency"], 'cannot reproduce "latency"'),
    ],
)
def test_names_that_are_not_there(names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        products.chosen(names)


def test_the_lists_of_names_agree() -> None:
    assert set(products.BUILDS_KERAS) <= set(products.NAMES)
    doc = " ".join(command_line.word_of("reproduce").doc.split())
    assert f"A name is one of {' '.join(products.NAMES)}, or all." in doc


def test_output_dir_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r'--output_dir ".*file/out" cannot be written: '):
        list(products.reproduce(["table1"], str(tmp_path / "file" / "out")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top1": 95.0}, r"line 1: top1 must be a fraction in \[0, 1\], received 95.0"),
        ({"top1": -0.1}, r"top1 must be a fraction"),
        ({"top1": float("nan")}, r'"top1" \(in \[0, 1\]\) cannot be nan'),
        ({"resolution": 1.3}, r'"resolution" \(side of the image in pixels\) cannot be 1.3'),
        ({"seed": True}, '"seed" .* cannot be True'),
        ({"model": 3}, '"model" .* cannot be 3'),
        ({"depth": 0}, '"depth" must be positive, received 0'),
        ({"params": -5}, '"params" must be positive'),
    ],
)
def test_wrong_values_in_results(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "r.jsonl", {**ROW, **changes})
    with pytest.raises(UsageError, match=message):
        read_results([path])


def test_wrong_results_files(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with pytest.raises(UsageError, match=r'--results: ".*r.jsonl" cannot be read'):
        read_results([str(path)])
    path.write_text("\n\n")
    with pytest.raises(UsageError, match="has no rows"):
        read_results([str(path)])
    path.write_text(json.dumps(ROW) + "\n{broken\n")
    with pytest.raises(UsageError, match="r.jsonl, line 2: not a line of JSON"):
        read_results([str(path)])
    path.write_text("[1, 2]\n")
    with pytest.raises(UsageError, match="line 1: expected an object with model, depth"):
        read_results([str(path)])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match='r.jsonl", line 1: this is no UTF-8 text'):
        read_results([str(path)])
    wrong = {key: value for key, value in ROW.items() if key != "resolution"}
    write(path, {**wrong, "resolutoin": 32})
    with pytest.raises(UsageError, match='"resolution" .* is missing. Did you mean "resolutoin"'):
        read_results([str(path)])


def test_seeds_are_gathered_and_never_counted_twice(tmp_path: Path) -> None:
    rows = [{**ROW, "seed": seed, "top1": top1} for seed, top1 in enumerate((0.9, 0.92, 0.94))]
    other = {**ROW, "what": "imagenet", "note": "a field of no concern here"}
    path = write(tmp_path / "r.jsonl", *rows, other)
    digits, imagenet = gathered(read_results([path]))
    assert (digits.top1, digits.spread, digits.runs) == pytest.approx((92.0, 2.0, 3))
    assert (imagenet.text, imagenet.run.is_imagenet) == ("95.00 % (1 run)", True)
    assert not digits.run.is_imagenet
    with pytest.raises(UsageError, match="seed 0 occurs twice for efficientnet-b0 d=1 w=1 at 32"):
        gathered(read_results([path, path]))
