"""The layers of the package, enforced by reading the import statements of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "efficientnet_tf"

# Lowest layer first; inside a layer a file may import only from files before it.
LAYERS = (
    (
        "__init__",
        "errors",
        "exit_codes",
        "durations",
        "config",
        "evaluation_request",
        "machine/__init__",
        "machine/findings",
        "machine/packages",
        "machine/chips",
        "machine/computer",
        "machine/tpu",
        "startup",
        "repeats",
    ),
    (
        "data/__init__",
        "data/source",
        "data/broken",
        "data/progress",
        "data/exif",
        "data/decoding",
        "data/pixel_count",
        "data/preprocessing",
        "data/serving_input",
        "data/augment_ops",
        "data/augment_geometry",
        "data/augment_levels",
        "data/augment_plan",
        "data/autoaugment",
        "data/erasing",
        "data/mixup",
        "data/augmentation",
        "data/holdout",
        "data/in_memory",
        "data/image_header",
        "data/manifest",
        "data/records",
        "data/tfrecord",
        "data/tfds_source",
        "data/files",
        "data/folder",
        "data/csv_file",
        "data/resampling",
        "data/sources",
        "data/class_mapping",
        "data/diagnose",
        "data/unusable",
        "data/pipeline",
        "data/journal",
        "data/shard_writer",
        "data/encoded",
        "data/prepare",
        "data/inventory",
        "data/scan",
        "finetune",
    ),
    (
        "models/__init__",
        "models/block_string",
        "models/scaling",
        "models/variants",
        "models/operations",
        "models/architecture",
        "models/maker",
        "models/engine",
        "models/initializers",
        "models/layers",
        "models/folding",
        "models/layer_calls",
        "models/multiply_adds",
        "importers/__init__",
        "importers/merge",
        "importers/input_contract",
        "importers/weights_source",
        "importers/keras_names",
        "importers/keras_files",
        "importers/keras_applications",
        "importers/weights_file",
        "importers/imagenet",
        "models/efficientnet",
        "models/keras_maker",
        "models/staged",
        "models/mobilenet",
        "models/resnet",
        "models/family",
        "models/networks",
        "models/compound",
        "models/scale_table",
        "models/registry",
        "models/profile",
        "models/profile_table",
    ),
    (
        "optim/__init__",
        "optim/loss",
        "optim/schedule",
        "optim/keras_schedule",
        "optim/rmsprop",
        "optim/sgd",
        "optim/ema",
    ),
    (
        "training/__init__",
        "training/cpu_kernels",
        "training/tpu_kernels",
        "training/loop",
        "training/multi_worker",
        "training/connect",
        "training/distribution",
        "training/rematerialisation",
        "training/state",
        "training/metrics",
        "training/reporting",
        "training/steps",
    ),
    (
        "checkpoint",
        "predictions",
        "scores",
        "evaluate",
        "importers/tf1_checkpoint",
        "importers/torch_files",
        "importers/timm_names",
        "importers/timm",
        "importers/qubvel",
        "importers/fingerprint",
        "importers/detect",
        "importers/convert",
        "image_list",
        "prediction_table",
        "imagenet_submission",
        "imagenet_variants",
        "init_record",
        "trained_model",
        "transfer",
        "evaluation_target",
        "run_data",
    ),
    (
        "access",
        "export_options",
        "export",
        "tflite",
        "onnx_file",
        "runtimes",
        "export_proof",
        "export_formats",
        "latency",
        "predict",
        "cam",
        "cam_figure",
    ),
    (
        "reproduce/__init__",
        "reproduce/printed",
        "reproduce/published",
        "reproduce/transfer_sets",
        "report/__init__",
        "report/paper",
        "report/run_files",
        "report/charts",
        "report/page",
        "report/pictures",
        "report/write",
        "report/comparison",
    ),
    ("assembly", "final_evaluation", "experiment"),
    (
        "tpu/__init__",
        "tpu/targets",
        "tpu/requirements",
        "tpu/fake_strategy",
        "tpu/tracing",
        "tpu/lowering",
        "tpu/op_check",
        "tpu/compiler",
        "tpu/roofline",
        "tpu/replay",
        "tpu/programs",
        "tpu/batch_search",
        "tpu/batch_table",
        "tpu/preflight",
    ),
    (
        "search/__init__",
        "search/results",
        "search/child",
        "search/process",
        "search/proxy",
        "search/scaling_baseline",
        "search/scaling_results",
        "search/grid",
        "search/scaling_search",
        "search/scaling_comparison",
        "search/scaling_figure",
        "search/scaling_flags",
        "search/drawn_shapes",
        "search/objective",
        "search/space",
        "search/searchers",
        "search/pareto",
        "search/architecture_search",
    ),
    (
        "reproduce/staged_b0",
        "reproduce/hypotheses",
        "reproduce/architectures",
        "reproduce/table",
        "reproduce/results",
        "reproduce/explain",
        "reproduce/tables",
        "reproduce/scaling_tables",
        "reproduce/picture",
        "reproduce/transfer_runs",
        "reproduce/transfer_results",
        "reproduce/measured_curves",
        "reproduce/curves",
        "reproduce/figures",
        "reproduce/products",
    ),
    ("model_flags", "cli", "doctor", "main"),
)
ORDER = [file for layer in LAYERS for file in layer]

# (files that start with this, what they never import, at any level)
FORBIDDEN = (
    ("models/", ("tensorflow", f"{PACKAGE}.data", f"{PACKAGE}.optim")),
    ("data/", (f"{PACKAGE}.models",)),
    ("optim/", (f"{PACKAGE}.models",)),
    ("training/loop", (f"{PACKAGE}.checkpoint", f"{PACKAGE}.evaluate")),
)

# These answer before TensorFlow is loaded: it may appear inside functions only.
LIGHT = (
    "__init__",
    "errors",
    "exit_codes",
    "durations",
    "config",
    "machine/__init__",
    "machine/findings",
    "machine/packages",
    "machine/chips",
    "machine/computer",
    "machine/tpu",
    "startup",
    "repeats",
    "models/__init__",
    "models/block_string",
    "models/scaling",
    "models/variants",
    "models/operations",
    "models/architecture",
    "models/maker",
    "models/engine",
    "models/staged",
    "models/mobilenet",
    "models/resnet",
    "models/family",
    "models/networks",
    "models/compound",
    "models/scale_table",
    "models/registry",
    "optim/__init__",
    "optim/schedule",
    "export_options",
    "tpu/__init__",
    "tpu/targets",
    "tpu/requirements",
    "tpu/batch_search",
    "tpu/batch_table",
    "search/__init__",
    "search/results",
    "search/child",
    "search/process",
    "search/proxy",
    "search/scaling_baseline",
    "search/scaling_results",
    "search/grid",
    "search/scaling_search",
    "search/scaling_comparison",
    "search/scaling_figure",
    "search/scaling_flags",
    "search/drawn_shapes",
    "search/objective",
    "search/space",
    "search/searchers",
    "search/pareto",
    "search/architecture_search",
    "reproduce/__init__",
    "reproduce/printed",
    "reproduce/published",
    "reproduce/transfer_sets",
    "reproduce/staged_b0",
    "reproduce/hypotheses",
    "reproduce/architectures",
    "reproduce/table",
    "reproduce/results",
    "reproduce/explain",
    "reproduce/tables",
    "reproduce/scaling_tables",
    "reproduce/picture",
    "reproduce/transfer_runs",
    "reproduce/transfer_results",
    "reproduce/measured_curves",
    "reproduce/curves",
    "reproduce/figures",
    "reproduce/products",
    "model_flags",
    "cli",
    "main",
)


def module_name(file: str) -> str:
    """`data/source` -> `efficientnet_tf.data.source`; main.py lies beside the package."""
    if file == "main":
        return file
    return f"{PACKAGE}/{file}".removesuffix("/__init__").replace("/", ".")


FILE_OF = {module_name(file): file for file in ORDER}


def is_postponed(node: ast.AST) -> bool:
    """Whether what is inside does not run when the file is imported."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def statements(node: ast.AST, on_import: bool = True) -> Iterator[tuple[ast.stmt, bool]]:
    """(import statement, whether it runs when the file is imported) for all below `node`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, on_import
        yield from statements(child, on_import and not is_postponed(child))


def imported(source: str) -> set[tuple[str, bool]]:
    """(module, whether the import runs at once); of the package always one of our files."""
    found = set()
    for statement, runs in statements(ast.parse(source)):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            if statement.level:
                raise ValueError(f"line {statement.lineno}: write the whole name, not a dot")
            names = [f"{statement.module}.{alias.name}" for alias in statement.names]
        for name in names:
            if name.split(".")[0] == PACKAGE and name not in FILE_OF:
                name = name.rpartition(".")[0]  # a class or function of a file
            found.add((name, runs))
    return found


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def violations(file: str, source: str) -> list[str]:
    """What `file` imports against the rules."""
    found = []
    for module, runs in sorted(imported(source)):
        for start, forbidden in FORBIDDEN:
            if file.startswith(start) and any(is_in(module, name) for name in forbidden):
                found.append(f"{start} never imports {module}")
        if file in LIGHT and runs and (is_in(module, "tensorflow") or is_in(module, "keras")):
            found.append(f"imports {module} at module level")
        if not is_in(module, PACKAGE):
            continue
        if module not in FILE_OF:
            found.append(f"{module} is no file of the package")
        elif ORDER.index(FILE_OF[module]) >= ORDER.index(file):
            found.append(f"{module} is not below it")
    return found


def path_of(file: str) -> Path:
    return ROOT / "main.py" if file == "main" else ROOT / PACKAGE / f"{file}.py"


def test_every_file_is_listed_once() -> None:
    package = ROOT / PACKAGE
    files = [path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")]
    assert sorted(ORDER) == sorted([*files, "main"])


@pytest.mark.parametrize("file", ORDER)
def test_imports_go_downwards(file: str) -> None:
    path = path_of(file)
    assert violations(file, path.read_text()) == [], path


@pytest.mark.parametrize(
    ("file", "source", "violation"),
    [
        ("config", "import efficientnet_tf.cli", "efficientnet_tf.cli is not below it"),
        ("errors", "from efficientnet_tf import config", "efficientnet_tf.config is not below it"),
        (
            "data/source",
            "def f():\n    from efficientnet_tf.data.pipeline import train_dataset",
            "efficientnet_tf.data.pipeline is not below it",
        ),
        ("evaluate", "from efficientnet_tf.export import save", "efficientnet_tf.export is not"),
        ("export", "from efficientnet_tf.utils import x", "efficientnet_tf.utils is no file"),
        ("models/layers", "def f():\n    import tensorflow as tf", "never imports tensorflow"),
        ("models/layers", "import tensorflow.math", "models/ never imports tensorflow.math"),
        ("models/layers", "from efficientnet_tf.data import source", "never imports"),
        ("models/layers", "from efficientnet_tf.optim.ema import DECAY", "never imports"),
        ("data/source", "from efficientnet_tf.models.layers import Dropout", "never imports"),
        ("optim/ema", "from efficientnet_tf.models.variants import VARIANTS", "never imports"),
        ("training/loop", "from efficientnet_tf.checkpoint import Checkpointer", "never imports"),
        ("training/loop", "from efficientnet_tf import evaluate", "training/loop never imports"),
        ("cli", "import tensorflow as tf", "imports tensorflow at module level"),
        ("config", "if True:\n    from keras import ops", "imports keras.ops at module level"),
    ],
)
def test_each_rule_catches_its_violation(file: str, source: str, violation: str) -> None:
    found = violations(file, source)
    assert any(violation in line for line in found), found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("models/registry", "if TYPE_CHECKING:\n    import keras"),
        ("models/registry", "def f():\n    from efficientnet_tf.models import efficientnet"),
        ("cli", "def f():\n    import tensorflow"),
        ("experiment", "from efficientnet_tf import __version__, durations"),
        ("models/layers", "import keras\nfrom keras import ops"),
    ],
)
def test_what_is_allowed_passes(file: str, source: str) -> None:
    assert violations(file, source) == []


def test_relative_imports_are_refused() -> None:
    with pytest.raises(ValueError, match="line 1: write the whole name"):
        imported("from . import config")


def test_light_files_load_neither_tensorflow_nor_keras() -> None:
    modules = [module_name(file) for file in LIGHT]
    program = (
        f"import sys, importlib\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_public_names_are_loaded_when_used() -> None:
    program = (
        "import sys, efficientnet_tf\n"
        "print('keras' in sys.modules, efficientnet_tf.EfficientNetB0.__name__,"
        " 'keras' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "EfficientNetB0", "True"]
