"""Answers of a trained network to single images: predictions and class activation maps."""
