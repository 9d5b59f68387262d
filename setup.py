"""Package metadata: what is installed, and which extras add what."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

_TPU_COMPILER = (
    "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version >= '3.11'"
)


def _requirements(name: str) -> list[str]:
    """The lines of a file of requirements, without its comments."""
    text = (Path(__file__).parent / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class _BuildWithConfigs(build_py):
    """A wheel carries the experiments of configs/ inside the package, for --config=digits."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "efficientnet_tf" / "configs"
            shutil.copytree(
                Path(__file__).parent / "configs",
                target,
                ignore=shutil.ignore_patterns("__pycache__"),
                dirs_exist_ok=True,
            )


setup(
    name="efficientnet_tf",
    version="0.1.0.dev0",
    description="EfficientNet (arXiv 1905.11946) for TensorFlow/Keras, built for TPUs",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["efficientnet_tf", "efficientnet_tf.*"]),
    cmdclass={"build_py": _BuildWithConfigs},
    entry_points={"console_scripts": ["efficientnet = efficientnet_tf.commands.command_line:main"]},
    install_requires=[
        "tensorflow>=2.19,<2.22; python_version < '3.13'",
        # 2.21.0 works, too, but asks for h5py<3.15 and would take back that of Colab's TPU image,
        # which has Python 3.13 and no TensorFlow.
        "tensorflow>=2.20,<2.22,!=2.21.0; python_version >= '3.13'",
        # tensorflow-datasets, absl-py, keras, ...: a list of its own for who has a TensorFlow.
        *_requirements("without-tensorflow"),
    ],
    package_data={"efficientnet_tf.tpu": ["*.json"], "efficientnet_tf.report": ["*.jinja"]},
    extras_require={
        # The TPU compiler for machines without a TPU (docs/tpu.md). Pinned: internals are used.
        "tpu-check": [
            f"{name}; {_TPU_COMPILER}"
            for name in ("jax==0.10.2", "jaxlib==0.10.2", "libtpu==0.0.51")
        ],
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18", "tf2onnx>=1.17"],
        "parquet": ["pyarrow>=15"],
        "plots": ["matplotlib>=3.8"],  # required by now; the name stays for old commands
        # The libraries whose files are imported, to write some: tests without them are skipped.
        "test-importers": ["timm>=1.0", "torch>=2.5"],
        # For a TPU given by its name: asks Google Cloud about it. Apart, because it brings
        # google-auth below 2, with which the sign-in of a notebook fails.
        "tpu": ["cloud-tpu-client>=0.10"],
        "tflite": ["ai-edge-litert>=1.2"],  # else the older runtime inside TensorFlow
        "test": [
            "ai-edge-litert>=1.2",
            "ipykernel>=6.29",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "onnx>=1.16",
            "onnxruntime>=1.18",
            "tf2onnx>=1.17",
            "import-linter>=2.1",
            "pytest>=8,<10",
            "pytest-xdist>=3.5,<4",
            "ruff==0.17.5",
            "mypy==2.4.1",
        ],
    },
)
