"""What is right and wrong with this machine for an experiment."""
