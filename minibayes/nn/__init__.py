"""Modern deep learning: layers, noise, networks and optimizers that know nothing of Bayes."""

from .layers import Conv2d, Dense, Flatten, MaxPool2d, ReLU, Tanh
from .network import Network
from .noise import Bernoulli, Delta, Gaussian, Key
from .optimizers import SGD, Adam

__all__ = ["SGD", "Adam", "Bernoulli", "Conv2d", "Delta", "Dense", "Flatten", "Gaussian", "Key", "MaxPool2d",
           "Network", "ReLU", "Tanh"]
