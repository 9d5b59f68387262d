"""The smallest network of the family that has everything: for tests that name it."""

# Stem, a block without and one with a residual, head, in 7,000 weights at a width of 0.1.
TWO_BLOCKS = ("r1_k3_s22_e1_i32_o16_se0.25", "r1_k3_s11_e6_i16_o16_se0.25")
# The same as a flag of main.py.
TWO_BLOCKS_FLAG = f"--config.model.blocks_args={TWO_BLOCKS}"
