"""What can be known of a TPU without one: lowering, the real TPU compiler, the table of its ops."""
