"""What is said of a path without looking for it."""

import os

import pytest

from efficientnet_tf.storage.paths import expanded, is_remote, within


@pytest.mark.parametrize(
    ("path", "remote"),
    [("gs://b/x", True), ("ram://x", True), ("/a/b", False), ("~/x", False), ("a:/b", False)],
)
def test_is_remote(path: str, remote: bool) -> None:
    assert is_remote(path) is remote


def test_paths_of_a_bucket_stay_as_they_are() -> None:
    assert expanded("~/x") == os.path.join(os.path.expanduser("~"), "x")
    assert expanded("gs://b/~/x") == "gs://b/~/x"
    assert within("/f", "x") == "/f/x"
    assert within("gs://b", "x") == "gs://b/x"
    assert within("/f", "/x") == "/x"
    assert within("/f", "gs://b/x") == "gs://b/x"
