"""Fine-tuning: first weights, frozen stages, settings for a folder of images."""
