"""The trained model: architecture and weights, adapters, precision, base models and their cache."""
