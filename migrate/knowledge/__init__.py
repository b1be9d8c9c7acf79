"""Facts about Flax as data: layers of Linen and NNX, naming conventions, and the parts of training states."""
