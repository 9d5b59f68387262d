"""The configuration: typed, closed, checked once, never changed after."""

import functools
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.config import (
    ExperimentConfig,
    check_name,
    differences,
    fields,
    finish,
    to_dict,
)
from efficientnet_tf.data.images.preprocessing import (
    EVAL_CROPS,
    INTERPOLATIONS,
    TRAIN_CROPS,
    Preprocessing,
)
from efficientnet_tf.errors import UsageError
from efficientnet_tf.models.scaling import check_coefficient
from efficientnet_tf.models.variants import B0_BLOCKS, make_architecture
from efficientnet_tf.optim.ema import ema_enabled
from efficientnet_tf.optim.loss import smooth_labels
from efficientnet_tf.optim.rmsprop import RMSProp
from efficientnet_tf.optim.schedule import KINDS, Schedule, scaled_learning_rate

B0 = "efficientnet-b0"
WITH_ARGUMENT = ("finetune", "transfer")  # tests of their own
FILES = sorted(
    path
    for path in (Path(__file__).parents[1] / "configs").glob("*.py")
    if path.stem not in WITH_ARGUMENT
)
NAMES = [name for name, _, _ in fields(ExperimentConfig())]


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def changed(**values: Any) -> ExperimentConfig:
    """A configuration with fields changed: `changed(train__epochs=3)`."""
    config = ExperimentConfig()
    for name, value in values.items():
        section, field = name.split("__")
        setattr(getattr(config, section), field, value)
    return config


def test_defaults_are_the_recipe_of_the_paper() -> None:
    values = to_dict(finish(ExperimentConfig()))
    recipe = {  # section 5.2 of the paper; warm-up, smoothing and averages: the official code
        "model.name": "efficientnet-b0",
        "optimizer.base_learning_rate": 0.016,  # 0.256 at a batch of 4096
        "optimizer.schedule": "exponential",
        "optimizer.decay_epochs": 2.4,
        "optimizer.decay_factor": 0.97,
        "optimizer.staircase": True,
        "optimizer.warmup_epochs": 5.0,
        "optimizer.rho": 0.9,
        "optimizer.momentum": 0.9,
        "optimizer.epsilon": 1e-3,
        "optimizer.weight_decay": 1e-5,
        "optimizer.label_smoothing": 0.1,
        "data.augment": "none",
        "optimizer.ema_decay": 0.9999,
        "train.epochs": 350.0,
        "train.global_batch_size": 2048,
        "data.minival_shards": 20,
    }
    assert {name: values[name] for name in recipe} == recipe


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_config_files_load_and_pass(path: Path) -> None:
    module = load(path)
    config = finish(module.get_config())
    assert config.train.global_batch_size > 0
    for label in ("What:", "Command:"):
        assert label in module.__doc__, f"{path} lacks {label} in its docstring"
    assert module.get_config() is not config, "a config file must return a new object each time"


def test_imagenet_is_the_papers_recipe() -> None:
    path = next(path for path in FILES if path.stem == "imagenet")
    config = load(path).get_config()
    batch = config.train.global_batch_size
    assert config.optimizer.base_learning_rate * batch / 256 == pytest.approx(0.256)
    assert config.data.augment == "autoaugment"


def test_every_option_says_what_it_means() -> None:
    for name, field, _ in fields(ExperimentConfig()):
        assert len(field.metadata["meaning"]) > 5, name


def test_names_are_dotted_and_in_the_order_of_the_declarations() -> None:
    assert NAMES[0] == "model.name"
    assert NAMES[-1] == "init_from"
    assert len(NAMES) == len(set(NAMES))
    assert list(to_dict(ExperimentConfig())) == NAMES


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train__epochs": "ten"}, "train.epochs must be of type float, received 'ten' (str)."),
        ({"train__epochs": None}, "train.epochs must be of type float, received None (NoneType)."),
        ({"train__seed": 1.5}, "train.seed must be of type int, received 1.5 (float)."),
        ({"train__seed": True}, "train.seed must be of type int, received True (bool)."),
        ({"data__flip": 1}, "data.flip must be of type bool, received 1 (int)."),
        ({"optimizer__rho": False}, "optimizer.rho must be of type float, received False (bool)."),
        ({"model__name": 3}, "model.name must be of type str, received 3 (int)."),
        ({"model__resolution": 32.5}, "model.resolution must be of type int | None"),
        ({"model__blocks_args": "r1_k3"}, "model.blocks_args must be of type tuple[str, ...]"),
        ({"model__resolution": 7}, "model.resolution must be at least 8, received 7."),
        (
            {"model__dropout_rate": 1.5},
            "model.dropout_rate must be at least 0 and below 1, received 1.5.",
        ),
        ({"train__epochs": -1.0}, "train.epochs must be above 0, received -1.0."),
        ({"train__global_batch_size": 0}, "train.global_batch_size must be at least 1"),
        ({"optimizer__rho": -0.1}, "optimizer.rho must be at least 0 and below 1, received -0.1."),
        (
            {"optimizer__decay_factor": 0.0},
            "decay_factor must be above 0 and at most 1, received 0",
        ),
        ({"train__seed": 2**31}, "train.seed must be at least 0 and at most 2147483647, received"),
        ({"train__epochs": math.inf}, "train.epochs must be above 0, received inf."),
        ({"optimizer__epsilon": math.nan}, "optimizer.epsilon must be above 0, received nan."),
        (
            {"data__source": "digit"},
            "data.source must be one of imagenet, tfrecord, folder, csv, tfds, digits, synthetic, "
            'received "digit". Did you mean "digits"?',
        ),
        ({"train__precision": "float16"}, 'must be one of auto, float32, bfloat16, received "fl'),
        (
            {"train__accumulation_steps": 3, "train__global_batch_size": 64},
            "train.accumulation_steps must divide train.global_batch_size: 3 does not divide 64.",
        ),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        finish(changed(**values))
    assert message in str(caught.value)
    assert "config field" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_no_field_takes_any_type(name: str) -> None:
    config = ExperimentConfig()
    *sections, field = name.split(".")
    section = functools.reduce(getattr, sections, config)
    setattr(section, field, {"a": "dictionary"})
    with pytest.raises(UsageError, match=f"config field {name} must be of type"):
        finish(config)


def _limits(outside: bool) -> list[tuple[str, float]]:
    """(field, the value closest to a limit that is outside or inside of it) for all limits."""
    found = []
    for name, field, _ in fields(ExperimentConfig()):
        step = 1 if "int" in str(field.type) else 1e-6
        for key, sign in (("low", -1), ("high", 1), ("above", -1), ("below", 1)):
            limit = field.metadata[key]
            if limit is None:
                continue
            if key in ("low", "high"):  # the limit itself is inside
                found.append((name, limit + sign * step if outside else limit))
            else:
                found.append((name, limit if outside else limit - sign * step))
    return found


def _with(name: str, value: Any) -> ExperimentConfig:
    section, field = name.split(".")
    return changed(**{f"{section}__{field}": value})


@pytest.mark.parametrize(("name", "value"), _limits(outside=True))
def test_values_outside_a_limit_are_refused(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"config field {name} must be (at least|above) "):
        finish(_with(name, value))


@pytest.mark.parametrize(("name", "value"), _limits(outside=False))
def test_values_inside_a_limit_pass(name: str, value: float) -> None:
    finish(_with(name, value))


@pytest.mark.parametrize("name", ["width_coefficient", "resolution", "blocks_args"])
def test_the_variants_own_value_is_none(name: str) -> None:
    finish(_with(f"model.{name}", None))


# What the layers below refuse must be refused here: before a run is started and a folder claimed.
@pytest.mark.parametrize(
    ("name", "value", "refuse"),
    [
        ("model.width_coefficient", 0.0, lambda v: check_coefficient("width", v)),
        ("model.dropout_rate", 1.0, lambda v: make_architecture(B0, dropout_rate=v)),
        ("model.survival_prob", 0.0, lambda v: make_architecture(B0, survival_prob=v)),
        ("optimizer.base_learning_rate", 0.0, lambda v: scaled_learning_rate(v, 256)),
        ("optimizer.decay_epochs", 0.0, lambda v: Schedule("constant", 1, 1, 1, decay_epochs=v)),
        ("optimizer.decay_factor", 0.0, lambda v: Schedule("constant", 1, 1, 1, decay_factor=v)),
        ("optimizer.label_smoothing", 1.0, lambda v: smooth_labels(np.eye(3), v)),
        ("optimizer.ema_decay", 1.0, ema_enabled),
        ("optimizer.rho", 1.0, lambda v: RMSProp(rho=v)),
        ("optimizer.momentum", 1.0, lambda v: RMSProp(momentum=v)),
        ("optimizer.epsilon", 0.0, lambda v: RMSProp(epsilon=v)),
        ("data.crop_fraction", 0.0, lambda v: Preprocessing(32, crop_fraction=v)),
    ],
)
def test_the_limits_are_those_of_the_layers_below(
    name: str, value: float, refuse: Callable[[float], Any]
) -> None:
    with pytest.raises(UsageError):
        refuse(value)
    with pytest.raises(UsageError, match=f"config field {name} must be"):
        finish(_with(name, value))


def test_the_choices_are_those_of_the_layers_below() -> None:
    choices = {name: field.metadata["choices"] for name, field, _ in fields(ExperimentConfig())}
    assert set(choices["data.train_crop"]) == set(TRAIN_CROPS)
    assert set(choices["data.eval_crop"]) == set(EVAL_CROPS)
    assert set(choices["data.interpolation"]) == set(INTERPOLATIONS)
    assert set(choices["optimizer.schedule"]) == set(KINDS)


def test_what_is_no_config_is_refused() -> None:
    with pytest.raises(UsageError, match=r"must return an .*ExperimentConfig, received dict"):
        finish({"model": "efficientnet-b0"})


def test_undeclared_fields_are_refused_and_the_nearest_named() -> None:
    config = ExperimentConfig()
    with pytest.raises(UsageError, match='no field "weight_decy"') as caught:
        config.optimizer.weight_decy = 0
    assert 'Did you mean "weight_decay"' in str(caught.value)
    with pytest.raises(UsageError, match='no field "optimiser". Did you mean "optimizer"'):
        config.optimiser = None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optimizer.weight_decy", '"optimizer.weight_decay"'),
        ("weight_decay", '"optimizer.weight_decay"'),
        ("train.weight_decay", '"optimizer.weight_decay"'),
        ("model.resolutoin", '"model.resolution"'),
    ],
)
def test_misspelt_names_offer_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f'no field "{name}"') as caught:
        check_name(name)
    assert f"Did you mean {hint}" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_right_names_pass(name: str) -> None:
    check_name(name)


def test_a_finished_configuration_never_changes() -> None:
    config = finish(ExperimentConfig())
    before = to_dict(config)
    for change in (
        lambda: setattr(config.train, "epochs", 1.0),
        lambda: setattr(config.data, "source", "digits"),
        lambda: setattr(config, "train", config_lib.TrainConfig()),
    ):
        with pytest.raises(UsageError, match=r"cannot change after the run has started"):
            change()
    assert to_dict(config) == before


def test_an_unfinished_configuration_can_change() -> None:
    config = ExperimentConfig()
    config.train.epochs = 3.0
    assert finish(config).train.epochs == 3.0
    assert ExperimentConfig().train.epochs == 350.0, "a default was changed for everybody"


@pytest.mark.parametrize(
    ("source", "turned"),
    [("folder:x", True), ("csv:x", True), ("tfrecord", True), ("tfds:cats", True)]
    + [("imagenet", False), ("tfds:imagenet2012", False)],
)
def test_photos_are_turned_upright_but_those_of_imagenet(source: str, turned: bool) -> None:
    config = finish(changed(data__source=source))
    assert config.data.exif_rotation is turned
    assert Preprocessing.of(32, config.data).exif_rotation is turned
    for said in (True, False):
        config = finish(changed(data__source=source, data__exif_rotation=said))
        assert config.data.exif_rotation is said


def through_json(config: ExperimentConfig) -> dict[str, Any]:
    return json.loads(json.dumps(to_dict(config)))


@pytest.mark.parametrize("blocks", [None, tuple(B0_BLOCKS), list(B0_BLOCKS)])
def test_a_round_trip_through_json_makes_no_difference(blocks: Any) -> None:
    config = finish(changed(model__blocks_args=blocks, train__epochs=30, model__resolution=32))
    assert differences(config, through_json(config)) == []


def test_a_list_of_blocks_becomes_a_tuple() -> None:
    config = finish(changed(model__blocks_args=list(B0_BLOCKS)))
    assert config.model.blocks_args == B0_BLOCKS


def test_no_name_stands_in_two_sections() -> None:
    leaves = [name.rsplit(".", 1)[-1] for name in NAMES]
    assert len(set(leaves)) == len(leaves)


@pytest.mark.parametrize("make", [ExperimentConfig, config_lib.ModelConfig])
def test_sections_are_independent(make: Callable[[], Any]) -> None:
    assert make() == make()
    assert make() is not make()


@pytest.mark.parametrize("sizes", [(1,), (1, 2, 3), (1, 0), (1.5, 2), ("a", "b")])
def test_expected_sizes_are_two_numbers(sizes: Any) -> None:
    config = ExperimentConfig()
    config.data.expected_sizes = sizes
    with pytest.raises(UsageError, match="expected_sizes must be two numbers of images"):
        finish(config)


def test_no_minival_and_a_size_for_it_contradict_each_other() -> None:
    config = ExperimentConfig()
    config.data.train_on_minival, config.data.minival = True, 100
    with pytest.raises(UsageError, match="contradict each other: minival is 100"):
        finish(config)


@pytest.mark.parametrize(("folds", "fold", "joined"), [(1, 0, False), (3, 3, False), (3, 0, True)])
def test_folds_fit_together(folds: int, fold: int, joined: bool) -> None:
    config = ExperimentConfig()
    config.data.folds, config.data.fold, config.data.train_on_minival = folds, fold, joined
    with pytest.raises(UsageError, match=f"received folds {folds}, fold {fold}"):
        finish(config)
