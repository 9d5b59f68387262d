"""Trains, evaluates and exports EfficientNet: flags -> configuration -> one function.

python main.py --model=efficientnet-b4 --tpu=local --data_dir=gs://... --model_dir=gs://...
python main.py --config=configs/digits.py
python main.py --help
"""

import sys

from efficientnet_tf.commands import command_line

if __name__ == "__main__":
    sys.exit(command_line.main(sys.argv))
