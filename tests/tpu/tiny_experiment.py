"""The small network of the TPU tests, as a configuration; used in processes of their own."""

from efficientnet_tf import config as config_lib

BLOCKS = ("r1_k3_s22_e1_i8_o8_se0.25", "r1_k3_s11_e4_i8_o8_se0.25")


def tiny_config(
    global_batch_size: int, *, precision: str = "auto", masks: bool = True, parts: int = 1
) -> config_lib.ExperimentConfig:
    """Two stages with a residual block, squeeze-and-excitation, averages and a schedule."""
    config = config_lib.ExperimentConfig()
    config.model.blocks_args = BLOCKS
    config.model.width_coefficient = config.model.depth_coefficient = 1.0
    config.model.resolution = 32
    config.model.survival_prob = 0.5 if masks else 1.0
    config.model.dropout_rate = 0.5 if masks else 0.0
    config.data.source = "digits"
    config.optimizer.warmup_epochs = 0.0
    config.train.precision = precision
    config.train.global_batch_size = global_batch_size
    config.train.accumulation_steps = parts
    return config_lib.finish(config)
