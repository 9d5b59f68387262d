"""The flags of the word evaluate: what they mean, and what does not fit together."""

import re
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.config import ExperimentConfig, finish
from efficientnet_tf.data.sources.in_memory import digits_source
from efficientnet_tf.errors import UsageError
from efficientnet_tf.evaluation.request import FLAGS, EvaluationRequest, evaluation_request, slug
from efficientnet_tf.evaluation.target import Target
from efficientnet_tf.storage.files import write_json


def asked(**values: str) -> EvaluationRequest:
    return evaluation_request({**{name: None for name, _ in FLAGS}, **values})


def test_flags_are_read() -> None:
    assert asked() == EvaluationRequest()
    assert asked(split="test, train,test").split == ("test", "train")
    assert asked(eval_resolution="96").eval_resolution == 96
    found = asked(eval_source="folder:photos", eval_variant="imagenet-a")
    assert (found.eval_source, found.eval_variant) == ("folder:photos", "imagenet-a")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": "tset"}, 'received "tset". Did you mean "test"'),
        ({"split": ""}, "--split must be some of train, minival, test, joined by commas"),
        ({"eval_resolution": "7"}, 'number of pixels, at least 8, received "7".'),
        ({"eval_resolution": "big"}, 'received "big".'),
        ({"eval_resolution": "-96"}, 'received "-96".'),
        ({"eval_variant": "imagenet-c"}, "--eval_variant must be one of imagenet-v2, imagenet-a"),
        ({"eval_data_dir": "x"}, "--eval_data_dir says where --eval_source lies"),
        ({"eval_variant": "real"}, "--real_labels=FILE belong together"),
        ({"real_labels": "real.json"}, "--real_labels=FILE belong together"),
        ({"eval_variant": "imagenet-r"}, '--eval_source=folder:DIR, received "".'),
        (
            {"eval_variant": "imagenet-v2", "eval_source": "tfds:imagenet_v2"},
            '--eval_source=folder:DIR, received "tfds:imagenet_v2".',
        ),
        (
            {"eval_variant": "imagenet-a", "eval_source": "folder:a", "split": "test"},
            "--eval_variant=imagenet-a has no splits; leave --split out.",
        ),
    ],
)
def test_what_does_not_fit_is_one_message(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        asked(**values)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_or_table_is_meant_whole_unless_a_split_is_named() -> None:
    assert asked(eval_source="folder:a").whole
    assert asked(eval_source="csv:a.csv").whole
    assert not asked(eval_source="folder:a", split="test").whole
    assert not asked(eval_source="digits").whole
    assert not asked().whole


def test_splits_are_minival_and_test_of_the_run_and_the_test_of_another_set() -> None:
    def splits(**values: str) -> tuple[str, ...]:
        return Target(asked(**values), ExperimentConfig(), "run", digits_source(), 10, None).splits

    assert splits() == ("minival", "test")
    assert splits(eval_source="digits") == ("test",)
    assert splits(split="train") == ("train",)


@pytest.mark.parametrize(
    ("values", "crop", "name"),
    [
        ({}, {}, "test"),
        ({"eval_resolution": "300"}, {}, "test-300px"),
        ({"eval_resolution": "224"}, {}, "test"),  # is the run's own
        ({}, {"eval_crop": "none"}, "test-none"),
        ({}, {"eval_crop": "padding", "crop_fraction": 0.9}, "test-padding"),
        ({}, {"crop_fraction": 0.9}, "test-fraction0.9"),
        ({"eval_source": "digits"}, {}, "digits-test"),
        ({"eval_source": "folder:a b"}, {}, "digits"),
        ({"eval_source": "folder:a", "split": "test"}, {}, "digits-test"),
        (
            {
                "eval_source": "folder:a",
                "eval_variant": "imagenet-a",
                "eval_resolution": "96",
            },
            {"crop_fraction": 1.0},
            "imagenet-a-96px-fraction1.0",
        ),
        ({"eval_variant": "real", "real_labels": "r.json"}, {}, "test-real"),
    ],
)
def test_each_evaluation_has_a_name_of_its_own(
    tmp_path: Path, values: dict[str, str], crop: dict[str, Any], name: str
) -> None:
    write_json(
        str(tmp_path / "config.json"), {"data.eval_crop": "fraction", "data.crop_fraction": 0.875}
    )
    config = ExperimentConfig()
    config.data.eval_crop = "fraction"
    for field, value in crop.items():
        setattr(config.data, field, value)
    target = Target(asked(**values), finish(config), str(tmp_path), digits_source(), 10, None)
    assert target.result_name("test") == name


def test_names_of_files_are_plain() -> None:
    assert slug("folder:my photos/2024.v1_b") == "folder-my-photos-2024.v1_b"
