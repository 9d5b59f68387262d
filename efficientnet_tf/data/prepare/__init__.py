"""Data sets written as TFRecord files, and looked through before they are trained on."""
