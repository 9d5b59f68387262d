"""Drawn shapes: a task on which more pixels show more, to compare ways of scaling.

What: ten polygons and stars amid lines and noise, 96x96, drawn by main.py draw-shapes: 4,000
    train, 1,000 minival, 1,000 test; few epochs, small batches, a cosine that ends at 0. TINY is a
    baseline of the family for 32x32 pixels: strides of 8 in all, not 32.
Table: Figure 8 of the paper, on a proxy.
Command: python main.py draw-shapes --output_dir=runs/shapes
    python main.py compare-scaling --config=configs/shapes.py --ratio=4 --seeds=3
Machine: a virtual machine with 2 cores, shared with other work, TensorFlow 2.21, 2026-11-21; 32
    minutes for 15 trainings.
Measured: minival top-1, mean and standard deviation of 3 seeds: baseline 89.57 +- 2.49, at four
    times its multiply-adds compound 98.30 +- 0.36, depth 75.37 +- 14.12, width 87.47 +- 9.34,
    resolution 99.23 +- 0.70 %. No difference to compound is beyond what three seeds make. Depth and
    width fail in single trainings at this learning rate: with half of it the worst two reached 87.8
    in place of 59.1 (depth) and 85.6 in place of 76.8 (width), the baseline 81.7 in place of 88.6.
"""

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.models.variants import Variant

TINY = Variant(
    "shapes-tiny",
    0.5,
    1.0,
    32,
    0.2,
    (
        "r1_k3_s11_e1_i32_o24_se0.25",
        "r2_k3_s22_e4_i24_o48_se0.25",
        "r4_k3_s22_e4_i48_o80_se0.25",
    ),
)


def get_config() -> ExperimentConfig:
    config = ExperimentConfig()
    config.model.name = "configs/shapes.py:TINY"
    config.data.source = "folder"
    config.data.data_dir = "runs/shapes"
    config.data.num_classes = 10
    config.data.train_crop = "none"
    config.data.eval_crop = "none"
    config.train.global_batch_size = 32
    config.train.epochs = 8.0
    config.train.eval_every_epochs = 0.0
    config.train.checkpoint_every_epochs = 4.0
    config.optimizer.base_learning_rate = 0.032
    config.optimizer.warmup_epochs = 1.0
    config.optimizer.schedule = "cosine"
    return config
