"""What can be known of this machine without TensorFlow: packages, TPU chips, who holds them."""
