"""The paper's numbers (arXiv 1905.11946v5), and nothing of ours."""
