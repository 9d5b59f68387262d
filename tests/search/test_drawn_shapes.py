"""The drawn task: shapes by geometry, pictures by seed, files that the folder source reads."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf.data.sources.folder import folder_source
from efficientnet_tf.errors import RunError, UsageError
from efficientnet_tf.search.drawn_shapes import SHAPES, coverage, draw, pictures, write


def area(name: str, radius: float) -> float:
    y, x = np.mgrid[0:400, 0:400] + 0.5
    return float(coverage(*SHAPES[name], radius, x - 200, y - 200).sum())


@pytest.mark.parametrize(("name", "corners"), [("triangle", 3), ("square", 4), ("hexagon", 6)])
def test_polygons_have_their_areas(name: str, corners: int) -> None:
    assert area(name, 150) == pytest.approx(
        corners / 2 * 150**2 * np.sin(2 * np.pi / corners), rel=0.005
    )


def test_a_circle_and_a_star_have_their_areas() -> None:
    assert area("circle", 150) == pytest.approx(np.pi * 150**2, rel=0.005)
    # Ten triangles between the centre, a corner and the notch beside it.
    notch = 150 * np.cos(np.pi / 5) * 0.6
    assert area("star5", 150) == pytest.approx(5 * 150 * notch * np.sin(np.pi / 5), rel=0.01)


def test_a_corner_points_to_the_right() -> None:
    inside = [
        float(coverage(3, 0.0, 100.0, np.array(x), np.array(y)))
        for x, y in ((99, 0), (-49, 0), (-51, 0), (-49, 85), (-49, 88), (40, 40))
    ]
    assert inside == [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]


def test_a_picture_is_a_function_of_seed_split_and_index() -> None:
    ten = list(pictures("train", 10))
    assert [name for name, _, _ in ten] == list(SHAPES)
    again = list(pictures("train", 20))
    assert all(np.array_equal(one[2], other[2]) for one, other in zip(ten, again, strict=False))
    assert not np.array_equal(ten[0][2], again[10][2])
    for other in (pictures("minival", 1), pictures("train", 1, seed=1)):
        assert not np.array_equal(ten[0][2], next(other)[2])


def test_the_shape_is_brighter_than_the_ground() -> None:
    picture = draw("circle", np.random.default_rng(3)).astype(float)
    assert picture.shape == (96, 96, 3)
    share = (picture.mean(axis=-1) > 127).mean()
    assert 0.08 < share < 0.55  # a radius of 0.18 to 0.36 of the side is 10 to 41 % of the area


def test_the_folder_is_a_source(tmp_path: Path) -> None:
    folder = tmp_path / "shapes"
    write(str(folder), {"train": 20, "minival": 10, "test": 10})
    source = folder_source(str(folder))
    assert source.num_examples == {"train": 20, "minival": 10, "test": 10}
    assert set(source.class_names or ()) == set(SHAPES)
    for name, file, picture in pictures("train", 20):
        encoded = (folder / "train" / name / file).read_bytes()
        assert np.array_equal(tf.io.decode_png(encoded).numpy(), picture)


def test_misuse_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="minival must have at least 10 pictures, one of each"):
        write(str(tmp_path / "a"), {"train": 10, "minival": 9, "test": 10})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine").touch()
    with pytest.raises(UsageError, match="is there already. Remove it, or give another folder"):
        write(str(tmp_path / "b"), {"train": 10})

    def full(image: Image.Image, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(RunError, match="could not be written to .*: No space left on device"):
        write(str(tmp_path / "c"), {"train": 10})
