"""Fine-tuning on your own folder of class folders; what fits it is looked up in the folder.

What: resolution, batch, length, learning rate and more are chosen by the rules of
    efficientnet_tf/transfer/folder_settings.py and printed with their reasons;
    --config.FIELD=VALUE changes any, and the others follow from it.
Table: none of the paper.
Command: python main.py --config=configs/finetune.py --data_dir=MY_FOLDER \\
    --model=efficientnet-b0 --config.init_from=b0.safetensors
    (or --config=configs/finetune.py:MY_FOLDER). Without init_from it trains from scratch.
Machine: any. Measured: docs/transfer.md.
"""

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError
from efficientnet_tf.machine.startup import start_tensorflow


def get_config(data_dir: str = "") -> ExperimentConfig:
    if not data_dir:
        raise UsageError("configs/finetune.py needs --data_dir=MY_FOLDER, a folder of classes.")
    start_tensorflow()
    from efficientnet_tf.transfer import (
        folder_settings,  # later: it loads TensorFlow, which must start quietly
    )

    return folder_settings.configured_for(data_dir)
