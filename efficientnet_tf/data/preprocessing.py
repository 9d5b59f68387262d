"""The old place of `data.images.preprocessing`, which this name still means."""

import sys

from efficientnet_tf.data.images import preprocessing

sys.modules[__name__] = preprocessing
