"""Fine-tuning on the eight data sets of Tables 5 and 6: configs/transfer.py:NAME.

What: NAME is cifar10, cifar100, birdsnap, stanford_cars, flowers, aircraft, pets or food101. Sizes
    and numbers of classes are those of Table 6 and are checked when the data is there; training is
    on all of "Train Size", so there is no minival. docs/transfer.md says where each set comes from.
Table: 5 and 6 (section 5.3), which borrows its settings from Kornblith et al. 2019 and GPipe.
Command: python main.py --config=configs/transfer.py:cifar100 --model=efficientnet-b0 \\
    --config.init_from=b0.safetensors --model_dir=runs/cifar100
    To choose the rate and the decay first, on a tenth held out (Flowers: its validation split):
    the same with --config.data.train_on_minival=false and a pair of the grid below.
Machine: NOT RUN in this project: neither the sets nor published weights were at hand.
Settings, and whose they are:
    20,000 steps, batch 256, SGD with Nesterov's momentum 0.9, batch-norm momentum
    max(1 - 10/s, 0.9) with s steps per epoch, random crops and flips alone, test at
    224/256 of the short side, 7 learning rates from 0.0001 to 0.1, 7 weight decays from 1e-6 to
    1e-3, divided by the learning rate, and none: checked in SimCLR (Chen et al. 2020, appendix
    B.8.1), whose fine-tuning is by Kornblith and says that it follows Kornblith et al. 2019.
    Cosine decay without warm-up, no label smoothing: recalled of Kornblith et al., not checked.
    GPipe (fine-tuned at 480 pixels): recalled, not checked, and not followed; each network keeps
    its own resolution, which --config.model.resolution changes.
    Which pair of the grid was chosen is not published. Ours is the middle of the decays and 0.01.
Expected: test top-1 of Table 5, below; nothing of it was measured here.
"""

from efficientnet_tf.config import ExperimentConfig
from efficientnet_tf.errors import UsageError, nearest
from efficientnet_tf.paper.transfer_sets import TABLE6

BATCH = 256
STEPS = 20_000
LEARNING_RATES = tuple(1e-4 * 10 ** (k / 2) for k in range(7))  # 0.0001 .. 0.1
DECAYS = (0.0, *(1e-6 * 10 ** (k / 2) for k in range(7)))  # 0, 1e-6 .. 1e-3, over the rate


# By the argument of this file. Test top-1 of Table 5, percent: the best EfficientNet against public
# results, and against all reported: CIFAR-10 B0 98.1, B7 98.9; CIFAR-100 B0 88.1, B7 91.7; Birdsnap
# B5 82.0, B7 84.3; Cars B3 93.6, B7 94.7; Flowers B5 98.5, B7 98.8; Aircraft B3 90.7, B7 92.9; Pets
# B4 94.8, B6 95.4; Food-101 B4 91.5, B7 93.0.
NAMES = (
    "cifar10",
    "cifar100",
    "birdsnap",
    "stanford_cars",
    "flowers",
    "aircraft",
    "pets",
    "food101",
)
DATA_SETS = dict(zip(NAMES, TABLE6, strict=True))


def get_config(name: str = "") -> ExperimentConfig:
    if name not in DATA_SETS:
        raise UsageError(
            f"--config=configs/transfer.py:NAME needs one of {', '.join(DATA_SETS)}; received "
            f'"{name}".{nearest(name, DATA_SETS)}'
        )
    data_set = DATA_SETS[name]
    steps_per_epoch = data_set.train / BATCH
    config = ExperimentConfig()
    config.data.source = data_set.source
    config.data.num_classes = data_set.classes
    config.data.expected_sizes = (data_set.train, data_set.test)
    config.data.train_on_minival = True
    config.train.global_batch_size = BATCH
    config.train.epochs = STEPS / steps_per_epoch
    config.train.eval_every_epochs = config.train.epochs / 20
    config.train.checkpoint_every_epochs = config.train.epochs / 20
    config.optimizer.kind = "sgd"
    config.optimizer.base_learning_rate = LEARNING_RATES[4]
    config.optimizer.weight_decay = DECAYS[4] / LEARNING_RATES[4]
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_epochs = 0.0
    config.optimizer.label_smoothing = 0.0
    config.optimizer.ema_decay = 0.0
    config.transfer.batch_norm_momentum = max(1 - 10 / steps_per_epoch, 0.9)
    return config
