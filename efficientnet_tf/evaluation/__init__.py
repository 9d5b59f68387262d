"""A whole split evaluated, every image once: on what, and what the answers are worth."""
