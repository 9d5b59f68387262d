"""A package that is not installed is named before any work, with the command that installs it."""

import importlib.abc
import sys
from pathlib import Path
from typing import Any

import pytest

from efficientnet_tf.commands import command_line
from efficientnet_tf.errors import UsageError
from efficientnet_tf.export.options import ExportOptions
from efficientnet_tf.machine import startup
from efficientnet_tf.machine.packages import INSTALL, is_installed, require


class _Blocked(importlib.abc.MetaPathFinder):
    """Python as it is where packages are missing."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hides packages, and makes the start of TensorFlow a failure: it would be work."""

    def hide(*names: str) -> None:
        for loaded in list(sys.modules):
            if loaded.partition(".")[0] in names:
                monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setattr(sys, "meta_path", [_Blocked(set(names)), *sys.meta_path])

    def started() -> None:
        pytest.fail("work began without the package")

    monkeypatch.setattr(startup, "start_tensorflow", started)
    return hide


@pytest.mark.parametrize("package", ["tf2onnx", "onnx", "onnxruntime"])
def test_onnx_needs_all_that_writes_and_proves_it(without: Any, package: str) -> None:
    without(package)
    with pytest.raises(UsageError) as caught:
        ExportOptions(formats=("saved_model", "onnx"))
    assert str(caught.value) == (
        f"--export_formats=onnx needs {package}, which is not installed.\n"
        "pip install 'efficientnet_tf[onnx]'"
    )
    ExportOptions(formats=("saved_model", "tflite-float32"))


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("matplotlib", ["train", "--config=digits"]),
        ("jinja2", ["evaluate", "--config=digits"]),
        ("PIL", ["report", "--model_dir=nowhere"]),
        ("matplotlib", ["compare", "a", "b"]),
        ("matplotlib", ["cam", "--weights=w.safetensors", "x.jpg"]),
        ("matplotlib", ["search-scaling", "--config=shapes"]),
        ("scipy", ["compare-scaling", "--config=shapes"]),
        ("matplotlib", ["search-architecture", "--config=shapes"]),
        ("PIL", ["draw-shapes"]),
        ("sklearn", ["show-augmentation"]),
        ("adjustText", ["reproduce", "figure6"]),
        ("pyarrow", ["predict", "--saved_model=s", "--output=o.parquet", "x.jpg"]),
        ("onnxruntime", ["export", "--weights=w.safetensors", "--export_formats=onnx", "x.jpg"]),
        ("tf2onnx", ["--config=digits", "--export_formats=saved_model,onnx"]),
    ],
)
def test_each_word_says_so_first(
    without: Any,
    package: str,
    line: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.jpg").write_bytes(b"x")
    without(package)
    monkeypatch.setattr(sys, "argv", ["main.py", *line])  # ml_collections reads it itself
    assert command_line.main(["main.py", *line]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert f"{package}, which is not installed." in first or f"{package}, " in first
    assert second.startswith(INSTALL[package])
    assert [path.name for path in tmp_path.iterdir()] == ["x.jpg"]


@pytest.mark.parametrize(
    ("package", "source"), [("sklearn", "digits"), ("tensorflow_datasets", "tfds:cifar10")]
)
def test_each_data_source_says_so_first(without: Any, package: str, source: str) -> None:
    from efficientnet_tf.data.sources.by_name import load_source

    without(package)
    with pytest.raises(UsageError, match=rf"data\.source=.* needs {package}, .*\npip install"):
        load_source(source, None)


def test_several_missing_ones_are_named_together(without: Any) -> None:
    assert is_installed("onnx")
    without("onnx", "pyarrow")
    assert not is_installed("onnx")
    with pytest.raises(UsageError) as caught:
        require("this", "onnx", "pyarrow", instead="do without")
    assert str(caught.value) == (
        "this needs onnx and pyarrow, which are not installed.\n"
        "pip install 'efficientnet_tf[onnx]' && pip install 'efficientnet_tf[parquet]', or do "
        "without"
    )
