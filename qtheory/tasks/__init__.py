"""Tasks and models for exact moments, simulation and escape times, all in closed form and in log space."""

from qtheory.tasks.arms import SoftmaxArms
from qtheory.tasks.categorical import FixedAnswers, SigmoidAnswers, SoftmaxAnswers
from qtheory.tasks.chain import TwoHopChain
from qtheory.tasks.examples import AngledSigmoids, Examples, Stacked
from qtheory.tasks.finite import FiniteTask
from qtheory.tasks.likelihoods import Likelihoods, bernoulli, beta, log_normal, two_level
from qtheory.tasks.model import LatentModel, Model
from qtheory.tasks.noise import NoisyLabels
from qtheory.tasks.sigmoid import Sigmoid

__all__ = [
    "AngledSigmoids",
    "Examples",
    "FiniteTask",
    "FixedAnswers",
    "LatentModel",
    "Likelihoods",
    "Model",
    "NoisyLabels",
    "Sigmoid",
    "SigmoidAnswers",
    "SoftmaxAnswers",
    "SoftmaxArms",
    "Stacked",
    "TwoHopChain",
    "bernoulli",
    "beta",
    "log_normal",
    "two_level",
]
