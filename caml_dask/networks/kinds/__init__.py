"""The architectures of networks, one file each: shapes of the weights, layers for Keras, and a compiled scorer."""
