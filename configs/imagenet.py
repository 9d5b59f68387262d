"""ImageNet, B0-B7: the paper's recipe (section 5.2, Table 2). The default of main.py.

What: RMSProp 0.9/0.9, batch-norm momentum 0.99, weight decay 1e-5, learning rate 0.256 at a batch
    of 4096, decayed by 0.97 every 2.4 epochs, dropout 0.2 (B0) to 0.5 (B7), survival probability
    0.8, AutoAugment, minival of 25,022 images. Warm-up, label smoothing, the averages and 350
    epochs are the official code's.
Command: python main.py --model=efficientnet-b0 --tpu=local --data_dir=gs://... --model_dir=gs://...
Machine: the published runs used 32 or more TPU v3 cores. NOT RUN in this project: no TPU and no
    ImageNet was at hand.
Expected: published top-1 of B0-B7 with AutoAugment: 77.1 79.1 80.1 81.6 82.9 83.6 84.0 84.3 %.
"""

from efficientnet_tf.config import ExperimentConfig


def get_config() -> ExperimentConfig:
    config = ExperimentConfig()
    config.data.source = "imagenet"
    config.data.augment = "autoaugment"
    config.train.global_batch_size = 4096
    config.train.epochs = 350.0
    # "Early stopping on this minival" (section 5.2): the best checkpoint is kept and evaluated. The
    # paper gives no patience; ten evaluations are 100 epochs without a better one.
    config.train.patience = 10
    return config
