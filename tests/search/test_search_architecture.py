"""The command of the architecture search: run, stopped, resumed, misused; and its parts."""

import ast
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from efficientnet_tf.commands import command_line
from efficientnet_tf.commands.experiment_flags import parse_experiment, take_experiment
from efficientnet_tf.commands.flag_groups import FlagGroups
from efficientnet_tf.errors import RunError
from efficientnet_tf.models.block_string import decode_all
from efficientnet_tf.search import architecture_search, proxy
from efficientnet_tf.search.architecture_search import Scored
from efficientnet_tf.search.objective import Objective
from efficientnet_tf.search.results import Result
from efficientnet_tf.search.searchers import RandomSearch
from efficientnet_tf.search.space import Network, Space

ROOT = Path(__file__).parents[2]
BASELINE = ("r2_k3_s22_e6_i32_o24_se0.25", "r2_k5_s22_e6_i24_o40_se0.25")
FLAGS = [
    f"--config={ROOT}/configs/digits.py",
    "--config.model.resolution=16",
    f"--config.model.blocks_args={BASELINE!r}",
    "--config.train.epochs=0.3",
    "--config.train.eval_every_epochs=0",
]


def made_up(network: Network) -> dict[str, Any]:
    """Wide 5x5 networks are good, layers cost."""
    stages = decode_all(network)
    good = sum(stage.kernel_size == 5 for stage in stages) + stages[-1].output_filters / 50
    cost = sum(stage.num_repeat for stage in stages)
    return {
        "top1": 0.5 + good / 10,
        "loss": 1.0,
        "examples": 179,
        "params": 1000 * cost,
        "multiply_adds": 1_000_000 * cost,
        "steps": 5,
    }


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the word in this process with made-up trainings: code, output, errors.

    `search.fails(network)` says whether a training fails; `search.trained` has all networks and
    seeds that were trained; Ctrl-C comes at training number `search.interrupted_at`.
    """

    class Search:
        fails: Callable[[Network], bool] = staticmethod(lambda network: False)
        interrupted_at = -1

        def __init__(self) -> None:
            self.trained: list[tuple[Network, int]] = []

        def __call__(self, *flags: str) -> tuple[int, str, str]:
            argv = ["main.py", "search-architecture", *FLAGS, *flags]
            monkeypatch.setattr(sys, "argv", argv)  # ml_collections looks for overrides there
            return (command_line.main(), *capsys.readouterr())

        def train(self, job: dict[str, Any], run: Path) -> dict[str, Any]:
            if len(self.trained) == self.interrupted_at:
                raise KeyboardInterrupt
            network = tuple(job["config"]["model.blocks_args"])
            self.trained.append((network, job["config"]["train.seed"]))
            if self.fails(network):
                return {"error": "no room"}
            return made_up(network)

    made = Search()
    monkeypatch.setattr(proxy, "train_in_process", made.train)
    return made


def test_the_true_command_trains_and_its_answer_fits_main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, str(ROOT / "main.py"), "search-architecture", *FLAGS]
    command += ["--candidates=1", "--confirm_seeds=0", "--searcher=random"]
    done = subprocess.run(
        [*command, f"--output_dir={tmp_path}/out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[1/1, 00:00 left] net-" in done.stderr
    [row] = rows_of(tmp_path / "out")
    assert row["error"] is None
    flag = (tmp_path / "out" / "best.txt").read_text()
    assert done.stdout.endswith(flag)
    assert (tmp_path / "out" / "pareto.png").exists()
    argv = ["main.py", *shlex.split(flag)]  # as the shell gives it to main.py
    monkeypatch.setattr(sys, "argv", argv)
    take = FlagGroups()
    take_experiment(take)
    config, _ = parse_experiment(take, argv)
    assert config.model.blocks_args == tuple(row["changes"]["model.blocks_args"])


def test_evolution_beats_its_random_ones_and_the_table_is_sorted(
    search: Any, tmp_path: Path
) -> None:
    code, output, errors = search(
        "--candidates=60", "--population=10", "--sample=5", f"--output_dir={tmp_path}"
    )
    assert code == 0, errors
    # Per stage 14 + 28 + 28 blocks of 1, 2, 3 layers, see test_space; 0.75 x 24 rounds to 24.
    assert f"{2 * 70 * 3 * 70:.3g} networks in the space; evolution tries 60" in errors
    first, second = output.split("\n\n")[:2]
    values = [float(line.split()[1]) for line in first.splitlines()[2:]]
    assert len(values) == 10
    assert values == sorted(values, reverse=True)
    confirmed = {}
    for line in second.splitlines()[2:]:
        name, value = line.replace("median random", "median_random").split()[:2]
        confirmed[name] = float(value)
    assert list(confirmed) == ["best", "baseline", "median_random"]
    assert confirmed["best"] > confirmed["median_random"]
    # Fresh seeds: the search had seed 0.
    assert {seed for _, seed in search.trained} == {0, 1, 2, 3}
    assert [seed for network, seed in search.trained if network == BASELINE] == [1, 2, 3]
    for name in ("results.jsonl", "best.txt", "pareto.png", "pareto.svg"):
        assert (tmp_path / name).exists()


def test_a_stopped_search_goes_on_as_if_it_had_not_been(search: Any, tmp_path: Path) -> None:
    flags = ("--candidates=25", "--population=6", "--sample=3", "--seeds=2", "--confirm_seeds=1")
    search.fails = lambda network: "c1" in network[1]
    code, whole, _ = search(*flags, f"--output_dir={tmp_path}/one")
    assert code == 0
    expected, search.trained = search.trained, []
    for search.interrupted_at in (7, 30, -1):
        code, output, errors = search(*flags, f"--output_dir={tmp_path}/two")
        assert code == (0 if search.interrupted_at < 0 else 130)
        if code:
            assert "stopped; the same command goes on from there" in errors
    assert search.trained == expected
    assert output.replace("/two", "/one") == whole
    one, two = ([row["key"] for row in rows_of(tmp_path / name)] for name in ("one", "two"))
    assert one == two


def test_failed_networks_are_neither_chosen_nor_the_end(search: Any, tmp_path: Path) -> None:
    search.fails = lambda network: "k5" in network[0]
    code, output, errors = search(
        "--candidates=20", "--searcher=random", "--confirm_seeds=0", f"--output_dir={tmp_path}"
    )
    assert code == 0, errors
    assert "failed: no room" in errors
    good = sum(row["error"] is None for row in rows_of(tmp_path))
    assert 0 < good < 20
    assert f"the best {min(good, 10)} of {good}, as the search saw them" in output
    assert "k5" not in (tmp_path / "best.txt").read_text().split(",")[0]


def test_several_seeds_have_a_spread(search: Any, tmp_path: Path) -> None:
    code, output, _ = search(
        "--candidates=2", "--seeds=3", "--confirm_seeds=0", f"--output_dir={tmp_path}"
    )
    assert code == 0
    assert len(search.trained) == 6
    line = output.splitlines()[2].split()
    assert float(line[2]) == float(line[4]) == 0.0  # made-up trainings do not depend on the seed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--searcher=greedy"], "--searcher=greedy: value should be one of <evolution|random>"),
        (["--candidates=0"], "--candidates=0: expected a whole number of at least 1, received 0"),
        (["--seeds=two"], "--seeds=two: expected a whole number of at least 1, received two"),
        (["--confirm_seeds=-1"], "--confirm_seeds=-1: expected a whole number of at least 0"),
        (["--population=4", "--sample=5"], "sample must be from 1 to the population of 4"),
        (["--exponent=cheap"], "--exponent=cheap: expected a finite number, received cheap"),
        (["--exponent=0.07"], "exponent must be at most 0, as in the paper's -0.07"),
        (["--exponent_below=1"], "exponent_below must be at most 0"),
        (["--target_multiply_adds=0"], "target must be a number of multiply-adds above 0"),
        (["--mode=train"], "unknown flag --mode."),
        (["--candidate=3"], 'unknown flag --candidate. Did you mean "candidates"'),
        (["--config.train.epoch=3"], 'config has no field "train.epoch"'),
        (["--model=efficientnet-b9"], 'unknown model "efficientnet-b9"'),
        (["--model=mobilenet-v2"], "blocks_args=("),
        (["20"], 'unexpected argument "20"'),
    ],
)  # fmt: skip
def test_wrong_use(search: Any, tmp_path: Path, flags: list[str], message: str) -> None:
    code, _, errors = search(f"--output_dir={tmp_path}/out", *flags)
    assert code == 2, errors
    assert message in errors
    assert search.trained == []
    assert not (tmp_path / "out").exists()


def test_a_network_without_block_strings(search: Any) -> None:
    FLAGS[2:3], kept = [], FLAGS[2:3]
    try:
        code, _, errors = search("--model=mobilenet-v2", "--config.model.resolution=64")
    finally:
        FLAGS[2:2] = kept
    assert code == 2
    assert "--model: mobilenet-v2 has no block strings to search around" in errors


def test_help_names_every_flag(search: Any) -> None:
    code, output, _ = search("--help")
    assert code == 0
    for name in ("output_dir", "searcher", "candidates", "seeds", "target_multiply_adds"):
        assert f"--{name}" in output


def test_flags_are_taken_by_a_shell() -> None:
    for network in (BASELINE, BASELINE[:1]):
        flag = architecture_search.flag_of(network)
        [argument] = shlex.split(flag)
        name, _, value = argument.partition("=")
        assert name == "--config.model.blocks_args"
        assert ast.literal_eval(value) == network


def test_a_network_has_one_key() -> None:
    keys = {architecture_search.candidate_of(network).key for network in (BASELINE, BASELINE[::-1])}
    assert len(keys) == 2
    again = architecture_search.candidate_of((BASELINE[0], BASELINE[1]))
    assert again.key in keys


def scored(key: str, objective: float, is_random: bool = True) -> Scored:
    return Scored(key, BASELINE, is_random, 0.9, None, 10, 10, objective, None)


def test_best_and_median() -> None:
    rows = [scored("a", 3.0), scored("b", 1.0), scored("c", 2.0), scored("d", 4.0, False)]
    assert architecture_search.best_of(rows).key == "d"
    assert architecture_search.best_of([*rows, scored("e", 4.0)]).key == "d", "of equals the first"
    median = architecture_search.median_random(rows)
    assert median is not None
    assert median.key == "c"
    of_two = architecture_search.median_random(rows[:2])
    assert of_two is not None
    assert of_two.key == "a", "of two the better: the harder one to beat"
    assert architecture_search.median_random(rows[3:]) is None


def test_if_no_network_could_be_trained() -> None:
    class Failing:
        results = SimpleNamespace(path="there/results.jsonl")

        def evaluate(self, candidate: Any, seeds: Any) -> list[Result]:
            return [Result("0", candidate.key, {}, seed, error="no") for seed in seeds]

    searcher = RandomSearch(Space(BASELINE))
    with pytest.raises(RunError, match="none of the 4 networks could be trained; there/results"):
        architecture_search.search(cast(proxy.Proxy, Failing()), searcher, Objective(), 4, [0])
    assert [objective for _, objective in searcher.history] == [None] * 4
