"""Scores from neighbor distances, compiled, without Keras or TensorFlow."""
