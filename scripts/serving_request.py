"""Prints the body of a request to TensorFlow Serving for image files.

docker run -p 8501:8501 -v $PWD/runs/flowers/export:/models/flowers/1 \
    -e MODEL_NAME=flowers tensorflow/serving
python scripts/serving_request.py rose.jpg > request.json
curl --data @request.json http://localhost:8501/v1/models/flowers:predict

The format is that of its REST API: one instance an image, bytes as base64; the answer has one
prediction an instance (probabilities, top_classes, top_probabilities, top_names).
"""

import base64
import json
import sys
from pathlib import Path

from absl import flags

from efficientnet_tf.errors import UsageError
from efficientnet_tf.inference.image_list import image_paths


def body(paths: list[str]) -> str:
    """The JSON of a request to the signature serving_default of an export."""
    instances = []
    for path in paths:
        try:
            encoded = base64.b64encode(Path(path).read_bytes()).decode()
        except OSError as error:
            raise UsageError(f'"{path}" cannot be read: {error.strerror}.') from error
        instances.append({"image_bytes": {"b64": encoded}})
    return json.dumps({"signature_name": "serving_default", "instances": instances})


def main(argv: list[str]) -> None:
    if any(argument in ("-h", "-help", "--help") for argument in argv[1:]):
        print(__doc__)
        sys.exit(0)
    try:
        print(body(image_paths(flags.FLAGS(argv)[1:], sys.stdin)))
    except (flags.Error, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv)
