"""Weights of other programs read into our models, strictly and with a receipt."""
