"""The science: networks, preprocessing, checkpoints, training and evaluation."""
