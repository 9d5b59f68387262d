"""results.jsonl: what is stored, found, cut off and refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.search.results import Result, Results, digest, mean_and_spread


def row(key: str = "a", seed: int = 0, base: str = "0" * 8, **numbers: Any) -> Result:
    changes = {"model.blocks_args": ["r1_k3_s22_e1_i32_o16"]}
    return Result(base, key, changes, seed, **numbers)


CHANGES = {"model.blocks_args": ("r1_k3_s22_e1_i32_o16",)}  # a tuple, as configurations have


def test_rows_are_there_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    results = Results(str(tmp_path / "new" / "folder"))
    rows = [row(seed=0, top1=0.9123456789, steps=7), row(seed=1, error="it burst"), row("b")]
    for each in rows:
        results.add(each)
    again = Results(str(tmp_path / "new" / "folder"))
    assert again.rows == rows
    assert again.find("0" * 8, "a", CHANGES, 1) == rows[1]
    assert again.find("0" * 8, "a", CHANGES, 2) is None
    assert again.find("0" * 8, "c", CHANGES, 0) is None
    assert again.find("1" * 8, "a", CHANGES, 0) is None, "a row of another base"


def test_results_on_other_images_are_not_mixed(tmp_path: Path) -> None:
    results = Results(str(tmp_path))
    results.add(row(seed=0, data="as-it-was"))
    results.add(row(seed=1))  # of an older version, or a failure
    results.add(row(base="1" * 8, data="another"))  # of another base
    with pytest.raises(UsageError, match='data set has changed since "a" was trained: "b" cannot'):
        results.add(row("b", data="as-it-is"))
    assert len(Results(str(tmp_path)).rows) == 3


def test_a_line_that_a_killed_search_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    results = Results(str(tmp_path))
    results.add(row(seed=0))
    results.add(row(seed=1))
    path = Path(results.path)
    path.write_text(path.read_text()[:-20])
    again = Results(str(tmp_path))
    assert [each.seed for each in again.rows] == [0]
    again.add(row(seed=1))
    assert [each.seed for each in Results(str(tmp_path)).rows] == [0, 1]
    path.write_text("{")
    assert Results(str(tmp_path)).rows == []


@pytest.mark.parametrize("line", ["not JSON", "[1, 2]", '{"key": "a"}', '{"colour": "red"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    results = Results(str(tmp_path))
    results.add(row())
    with open(results.path, "a") as file:
        file.write(f"{line}\n{{}}")
    with pytest.raises(RunError, match="results.jsonl, line 2 is no result of a search"):
        Results(str(tmp_path))


def test_a_key_stands_for_one_candidate(tmp_path: Path) -> None:
    results = Results(str(tmp_path))
    results.add(row())
    with pytest.raises(
        UsageError, match='the candidate "a" with other changes: .*o16.*, not .*o24'
    ):
        results.find("0" * 8, "a", {"model.blocks_args": ("r1_k3_s22_e1_i32_o24",)}, 5)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be used for the results of a search: "):
        Results(str(tmp_path / "file"))
    (tmp_path / "results.jsonl").mkdir()
    with pytest.raises(
        UsageError, match=r'results.jsonl" cannot be read: it is no reg.*\n.*use another'
    ):
        Results(str(tmp_path))


def test_a_row_that_cannot_be_written(tmp_path: Path) -> None:
    results = Results(str(tmp_path / "folder"))
    Path(results.path).unlink()
    (tmp_path / "folder").rmdir()
    with pytest.raises(RunError, match="could not be written: No such file.*goes on from there"):
        results.add(row())


def test_the_digest_changes_with_every_field_but_the_seed() -> None:
    def changed(name: str | None = None, value: object = None) -> str:
        config = config_lib.ExperimentConfig()
        if name is not None:
            section, field = name.split(".")
            setattr(getattr(config, section), field, value)
        return digest(config_lib.finish(config))

    assert changed() == changed()
    assert changed("train.seed", 3) == changed()
    others = {
        changed("train.epochs", 3.0),
        changed("model.resolution", 64),
        changed("data.source", "digits"),
        changed("optimizer.rho", 0.8),
        changed(),
    }
    assert len(others) == 5
    assert all(json.dumps(each).isascii() and len(each) == 8 for each in others)


def test_mean_and_spread() -> None:
    assert mean_and_spread([0.5]) == (0.5, None)
    mean, spread = mean_and_spread([0.1, 0.2, 0.6])
    assert mean == pytest.approx(0.3)
    # Squares of the differences 0.04, 0.01, 0.09 over two degrees of freedom.
    assert spread == pytest.approx(0.07**0.5)
