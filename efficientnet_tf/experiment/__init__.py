"""One experiment: its parts assembled from a configuration, and the modes it runs in."""
