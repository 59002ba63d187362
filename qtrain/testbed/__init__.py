"""The testbed: small tasks and their base models."""
