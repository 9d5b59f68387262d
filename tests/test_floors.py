"""The floors of the package: import-linter refuses upward imports, and answers come at once."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the package in `folder`, by the contracts of pyproject.toml there."""
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    shutil.copytree(
        ROOT / "efficientnet_tf",
        tmp_path / "efficientnet_tf",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_an_upward_import_is_refused(house: Path) -> None:
    planted = "\n\ndef f() -> None:\n    from efficientnet_tf.runs import checkpoint\n"
    with open(house / "efficientnet_tf" / "data" / "pipeline.py", "a") as file:
        file.write(planted)
    with open(house / "efficientnet_tf" / "models" / "scaling.py", "a") as file:
        file.write("\n\ndef f() -> None:\n    import tensorflow\n")
    (house / "efficientnet_tf" / "helpers").mkdir()
    (house / "efficientnet_tf" / "helpers" / "__init__.py").write_text("")
    done = lint_imports(house)
    assert done.returncode != 0
    assert "efficientnet_tf.data.pipeline -> efficientnet_tf.runs.checkpoint" in done.stdout
    assert "efficientnet_tf.models.scaling -> tensorflow" in done.stdout
    assert "efficientnet_tf.helpers" in done.stdout  # a package that no floor names


def test_the_root_of_the_package_holds_five_files() -> None:
    files = [path.name for path in (ROOT / "efficientnet_tf").glob("*.py")]
    assert sorted(files) == ["__init__.py", "__main__.py", "config.py", "errors.py", "zoo.py"]


@pytest.mark.parametrize("flag", ["--help", "--list_models"])
def test_answers_that_need_no_tensorflow_start_none(flag: str) -> None:
    program = (
        "import sys\n"
        "from efficientnet_tf.commands import command_line\n"
        f"code = command_line.main(['main.py', {flag!r}])\n"
        "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules], code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_keras_is_loaded_when_a_network_is_built() -> None:
    program = (
        "import sys, efficientnet_tf\n"
        "print('keras' in sys.modules, efficientnet_tf.EfficientNetB0.__name__,"
        " 'keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "EfficientNetB0", "False"]


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("data.autoaugment", "data.augment.autoaugment", "autoaugment"),
        ("data.preprocessing", "data.images.preprocessing", "Preprocessing"),
    ],
)
def test_what_others_import_is_found_under_its_old_name(old: str, new: str, name: str) -> None:
    program = (
        f"from efficientnet_tf.{old} import {name} as old\n"
        f"from efficientnet_tf.{new} import {name} as new\n"
        f"import efficientnet_tf.{old} as module\n"
        f"print(old is new is module.{name})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
