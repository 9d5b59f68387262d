"""Trains, evaluates and exports EfficientNet: flags -> configuration -> one function.

python main.py --model=efficientnet-b4 --tpu=local --data_dir=gs://... --model_dir=gs://...
python main.py --config=configs/digits.py

Exit code 0: done; 1: failed on the way; 2: wrong use; 130: a signal (Ctrl-C, SIGTERM) stopped the
training, which saved, and the same command goes on from there.
"""

import sys

from efficientnet_tf.commands import cli

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv))
