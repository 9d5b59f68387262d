"""What an export is to be: formats, batch, precision. Answers before TensorFlow is loaded."""

from dataclasses import dataclass

from efficientnet_tf.errors import UsageError, nearest, whole_number
from efficientnet_tf.machine.packages import require

DTYPES = ("float32", "bfloat16", "float16")
TFLITE_KINDS = ("float32", "float16", "dynamic", "int8")
FORMATS = ("saved_model", *(f"tflite-{kind}" for kind in TFLITE_KINDS), "onnx")
IMAGES = 32


@dataclass(frozen=True)
class ExportOptions:
    """How a model is written down for serving.

    Attributes:
        formats: some of FORMATS.
        batch: images of a request; None: any number (TFLite: 1).
        dtype: of weights and computation of the SavedModel: "float32", "bfloat16" or "float16".
            Images come in, and probabilities go out, in float32.
        xla: XLA compiles the network where the SavedModel is loaded. For accelerators: a CPU is
            slower with it.
        images: how many the export is compared on.

    Raises:
        UsageError: a value outside these, or what writes a format is not installed.
    """

    formats: tuple[str, ...] = ("saved_model",)
    batch: int | None = None
    dtype: str = "float32"
    xla: bool = False
    images: int = IMAGES

    def __post_init__(self) -> None:
        for name in self.formats or ("",):
            if name not in FORMATS:
                raise UsageError(
                    f'--export_formats must be some of {",".join(FORMATS)}, received "{name}".'
                    + nearest(name, FORMATS)
                )
        if "onnx" in self.formats:  # the last one proves the file that the first ones write
            require("--export_formats=onnx", "tf2onnx", "onnx", "onnxruntime")
        for name, value in (("batch", self.batch), ("images", self.images)):
            if value is not None and whole_number(value) is None:
                raise UsageError(f"--export_{name} must be at least 1, received {value!r}.")
        if self.dtype not in DTYPES:
            raise UsageError(
                f'--export_dtype must be one of {", ".join(DTYPES)}, received "{self.dtype}".'
                + nearest(self.dtype, DTYPES)
            )


def parse_formats(text: str) -> tuple[str, ...]:
    """The names in a flag's value, joined by commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
