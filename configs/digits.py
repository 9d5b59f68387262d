"""Handwritten digits, the embedded default: 1,797 real images that ship with scikit-learn.

What: 8x8 grey images resized to 32x32, 1,259 train, 179 minival, 359 test; the recipe of
    configs/imagenet.py with fewer epochs and without flips and crops, which change digits.
Table: none of the paper; a check that everything works, and what to expect when it does.
Command: python main.py --config=configs/digits.py --model=efficientnet-b0 --model_dir=runs/digits
"""

from efficientnet_tf.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig()
    config.model.resolution = 32
    config.data.source = "digits"
    config.data.train_crop = "none"
    config.data.eval_crop = "none"
    config.data.flip = False
    config.train.global_batch_size = 64
    config.train.epochs = 30.0
    config.train.eval_every_epochs = 5.0
    config.train.checkpoint_every_epochs = 5.0
    config.optimizer.base_learning_rate = 0.1
    config.optimizer.warmup_epochs = 2.0
    config.optimizer.decay_epochs = 1.0
    config.optimizer.decay_factor = 0.9
    return config
