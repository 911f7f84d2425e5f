"""Training networks from simulated fields; the only place that imports Keras and TensorFlow."""
