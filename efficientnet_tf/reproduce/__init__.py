"""The paper's tables and figures again: its numbers as data, ours computed beside them."""
