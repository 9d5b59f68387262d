"""Networks: block strings, scaling, Keras layers, the EfficientNet family and its registry."""
