"""What of a stored configuration may change when a run is continued."""

import dataclasses
import functools
import json
from typing import Any

import pytest

from efficientnet_tf.config import (
    FREE_ON_RESUME,
    ExperimentConfig,
    check_name,
    differences,
    fields,
    finish,
    from_dict,
    to_dict,
    unfinished,
)
from efficientnet_tf.errors import UsageError

NAMES = [name for name, _, _ in fields(ExperimentConfig())]


def through_json(config: ExperimentConfig) -> dict[str, Any]:
    return json.loads(json.dumps(to_dict(config)))


def _other(field: dataclasses.Field, value: Any) -> Any:
    """A value of the field's type that is not `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    choices = field.metadata["choices"] or ("something else",)
    return next(choice for choice in choices if choice != value)


@pytest.mark.parametrize("name", NAMES)
def test_fields_that_change_the_numbers_must_not_change_on_resume(name: str) -> None:
    stored = through_json(finish(ExperimentConfig()))
    config = unfinished(stored)
    *sections, leaf = name.split(".")
    field, value = next((field, value) for full, field, value in fields(config) if full == name)
    other = _other(field, value)
    setattr(functools.reduce(getattr, sections, config), leaf, other)
    expected = [] if name in FREE_ON_RESUME else [f"{name}: {value!r} -> {other!r}"]
    assert differences(config, stored) == expected


def test_free_fields_exist() -> None:
    assert set(NAMES) >= FREE_ON_RESUME


def test_the_free_fields_leave_every_step_done_as_it_was() -> None:
    # A resumed run must equal an uninterrupted one, so these can never be free.
    decisive = {name for name in NAMES if name.startswith(("model.", "optimizer."))}
    decisive |= {"train.seed", "train.global_batch_size", "train.accumulation_steps"}
    decisive |= {"train.precision", "data.source", "data.augment", "data.shuffle_buffer"}
    assert not decisive & FREE_ON_RESUME


def test_a_run_that_has_an_earlier_name_of_a_field_is_read() -> None:
    stored = {"train.batch_norm": "local"}
    config = from_dict(stored)
    assert config.train.batch_norm_group == "local"
    assert differences(config, stored) == []
    (line,) = differences(finish(ExperimentConfig()), stored)
    assert line == "train.batch_norm_group: 'local' -> 'official'"
    with pytest.raises(UsageError, match='Did you mean "train.batch_norm_group"'):
        check_name("train.batch_norm")


def test_fields_that_a_stored_run_did_not_know_are_no_difference() -> None:
    assert differences(finish(ExperimentConfig()), {}) == []


def test_where_the_files_lie_is_no_difference_and_what_they_are_is_one() -> None:
    def of(source: str) -> ExperimentConfig:
        return from_dict({"data.source": source})

    for kind in ("folder", "csv"):
        assert differences(of(f"{kind}:there"), through_json(of(f"{kind}:/here"))) == []
        assert differences(of(kind), through_json(of(f"{kind}:/here"))) == []
    for ours, theirs in (("csv:a", "folder:a"), ("tfds:b", "tfds:a"), ("digits", "folder:a")):
        assert len(differences(of(ours), through_json(of(theirs)))) >= 1
