"""What is known of Flax, as data: its layers in Linen and in NNX, how each names things, and what training states are
made of.
"""
