"""A trained network as SavedModel, TFLite and ONNX, each proved in its runtime."""
