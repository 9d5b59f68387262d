"""Augmentation of training images: AutoAugment, RandAugment, erasing, mixing."""
