"""Networks: block strings, scaling, Keras layers, and the families of networks."""
