"""The word show-augmentation as a user runs it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efficientnet_tf.commands import command_line
from efficientnet_tf.data.augment.autoaugment import OPS

PHOTO = Path(__file__).parents[1] / "golden" / "images" / "camera_gray_333x500_q90.jpg"


def test_two_sheets(tmp_path: Path) -> None:
    command = ["main.py", "show-augmentation", f"--output_dir={tmp_path}/new", "--resolution=32"]
    assert command_line.main([*command, f"--image={PHOTO}"]) == 0
    shapes = {path.name: np.asarray(Image.open(path)).shape for path in tmp_path.glob("new/*")}
    # 16 operations at 9 levels beside the photo; 25 sub-policies, five in a row.
    assert shapes == {"operations.png": (16 * 66, 10 * 38, 3), "policy.png": (5 * 66, 5 * 38, 3)}
    top = 66 * list(OPS).index("Rotate")
    row = np.asarray(Image.open(tmp_path / "new" / "operations.png"))[top : top + 32]
    pictures = [row[:, left : left + 32].tobytes() for left in range(0, 10 * 38, 38)]
    assert pictures[1] == pictures[0]  # level 0: as it is
    assert len(set(pictures)) == 9


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.jpg").write_text("text")
    assert command_line.main(["main.py", "show-augmentation", f"--image={tmp_path}/no.jpg"]) == 2
    assert "--image must be an image file, received" in capsys.readouterr().err
