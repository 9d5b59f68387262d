"""A proxy for architecture search: the digits at 32x32, a small baseline, five epochs.

What: four stages in place of seven, so that the last map is 4x4 pixels; one training takes about
    20 seconds on two quiet cores, half of it start-up and tracing.
Table: section 4 of the paper (its search trained on ImageNet, for 5 epochs).
Command: python main.py search-architecture --config=configs/search_digits.py \\
    --candidates=52 --population=12 --sample=6 --target_multiply_adds=5e6
Machine: a virtual machine with 2 cores of an AMD EPYC, Python 3.11, TensorFlow 2.21, 2026-11-21.
Measured: docs/scaling.md.
"""

from efficientnet_tf.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig()
    config.model.resolution = 32
    config.model.blocks_args = (
        "r1_k3_s11_e1_i32_o16_se0.25",
        "r2_k3_s22_e6_i16_o24_se0.25",
        "r2_k5_s22_e6_i24_o32_se0.25",
        "r1_k3_s22_e6_i32_o48_se0.25",
    )
    config.model.survival_prob = 1.0
    config.data.source = "digits"
    config.data.train_crop = "pad"
    config.data.eval_crop = "none"
    config.data.flip = False
    config.train.global_batch_size = 16
    config.train.epochs = 5.0
    config.train.eval_every_epochs = 0.0
    config.train.checkpoint_every_epochs = 2.0
    config.optimizer.base_learning_rate = 0.08
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.ema_decay = 0.0
    return config
