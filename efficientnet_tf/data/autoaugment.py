"""The old place of `data.augment.autoaugment`, which this name still means."""

import sys

from efficientnet_tf.data.augment import autoaugment

sys.modules[__name__] = autoaugment
