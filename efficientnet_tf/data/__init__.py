"""Layer 1: where images come from (sources) and how they become batches (pipeline)."""
