"""MNIST-1D for hybridopt: the data set, and the networks that it was published with."""
