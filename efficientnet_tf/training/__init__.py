"""The training engine: distribution, state, step, loop and what it reports."""
