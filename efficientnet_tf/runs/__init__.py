"""A run on disk: its checkpoints and what lies beside them, and several runs of one command."""
