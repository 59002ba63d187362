"""The run folder: logs, checkpoints, fingerprints, metric sinks, and interrupts during training."""
