"""Fixtures of the tests of the training path."""

from tiny_run import base, config, model, task

__all__ = ["base", "config", "model", "task"]
