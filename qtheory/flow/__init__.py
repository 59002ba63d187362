"""Flows on the loss l_q: the path in log P of one example, several examples in time, and discrete optimisers."""

from qtheory import _theory as _theory
from qtheory.flow.direct import Escape, escape
from qtheory.flow.iterate import Adam, Sgd, Steps, steps_to
from qtheory.flow.path import Path, follow
from qtheory.flow.schedule import Stepwise
from qtheory.flow.velocity import Velocity, velocity

__all__ = ["Adam", "Escape", "Path", "Sgd", "Steps", "Stepwise", "Velocity", "escape", "follow", "steps_to", "velocity"]
