"""The end of `make demo`: predicts a few held-out digits with the exported SavedModel.

Writes ten digits of the test split as PNG files, reads them back as a user's images and prints
what the SavedModel says about them.
"""

import sys
from pathlib import Path

from absl import app, flags

from efficientnet_tf.machine.startup import start_tensorflow
from efficientnet_tf.terminal.exit_codes import exit_code

_SAVED_MODEL = flags.DEFINE_string("saved_model", "runs/demo/export", "an export of main.py")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "runs/demo/images", "where the PNG files go")


def predict_digits(saved_model: str, output_dir: str) -> None:
    """Prints one line per digit: the file, what it shows and the best answers."""
    import tensorflow as tf

    from efficientnet_tf.data.sources.by_name import load_source
    from efficientnet_tf.inference.predict import Predictor

    Path(output_dir).mkdir(parents=True, exist_ok=True)
    shown = {}
    for example in load_source("digits").examples("test"):
        label = int(example["label"])
        path = str(Path(output_dir) / f"digit-{label}.png")
        if path not in shown:
            shown[path] = label
            tf.io.write_file(path, tf.io.encode_png(example["image"]))
    paths = sorted(shown)
    right = 0
    for prediction in Predictor(saved_model)(paths):
        right += prediction.classes[0] == shown[prediction.path]
        answers = ", ".join(
            f"{name} ({100 * probability:.1f} %)"
            for name, probability in zip(
                prediction.names[:2], prediction.probabilities[:2], strict=True
            )
        )
        print(f"{prediction.path} shows a {shown[prediction.path]}: {answers}")
    print(f"{right} of {len(paths)} held-out digits right, read from PNG files by the SavedModel")


def run() -> None:
    start_tensorflow()
    predict_digits(_SAVED_MODEL.value, _OUTPUT_DIR.value)


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument "{argv[1]}"')
    sys.exit(exit_code(run))


if __name__ == "__main__":
    app.run(main)
