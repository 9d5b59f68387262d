"""The comparison of first weights: its drawn images, its random weights, its flags."""

import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientnet_tf.data.folder import folder_source
from efficientnet_tf.importers import weights_file

SCRIPT = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "compare_transfer.py"))


def test_the_drawn_digits_are_those_of_the_test_split_in_other_colours(tmp_path: Path) -> None:
    for name in ("one", "two"):
        SCRIPT["draw"](tmp_path / name)
    source = folder_source(str(tmp_path / "one"), minival=1)
    assert source.class_names == tuple("0123456789")
    assert source.num_examples["train"] + source.num_examples["minival"] == 100
    assert source.num_examples["test"] == 259  # of 359; none of them was trained on
    paths = sorted(path.relative_to(tmp_path / "one") for path in tmp_path.glob("one/*/*/*.png"))
    assert set(Counter(path.parts[1] for path in paths if path.parts[0] == "train").values()) == {
        10
    }
    pixels = [np.asarray(Image.open(tmp_path / "one" / path)) for path in paths[:20]]
    assert {image.shape for image in pixels} == {(32, 32, 3)}
    assert any(np.ptp(image.mean((0, 1))) > 30 for image in pixels), "they have colours"
    for path in paths[:20]:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_the_random_weights_are_a_file_of_ours(tmp_path: Path) -> None:
    SCRIPT["random_weights"](tmp_path / "random.safetensors")
    arrays, info = weights_file.load(str(tmp_path / "random.safetensors"))
    assert (info.classes, info.resolution, info.class_names) == (10, 32, None)
    assert not arrays["predictions/bias"].any()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed=1"], "unknown flag --seed=1; there are --output_dir, --weights, --seeds"),
        (["--seeds=1"], 'at least 2, received "1"'),
        (["--seeds"], "unknown flag --seeds"),
    ],
)
def test_wrong_use_is_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    assert SCRIPT["main"](["compare_transfer.py", *flags]) == 2
    assert message in capsys.readouterr().err
