"""main.py on two logical CPU devices: a machine with two GPUs, without GPUs."""

import sys

from efficientnet_tf.startup import start_tensorflow

start_tensorflow()

import tensorflow as tf  # noqa: E402

from efficientnet_tf import assembly, cli  # noqa: E402

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
assembly.connect = lambda *_: tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
sys.exit(cli.main(sys.argv))
