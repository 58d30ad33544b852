"""Modern deep learning: layers, noise, networks and optimizers that know nothing of Bayes.

To add one of your own, subclass `Layer`, `Noise` or `Optimizer`: nothing else has to be edited.
"""

from . import carry
from .activations import Flatten, ReLU, Tanh
from .append import Append
from .average_pool import AveragePool2d
from .code import Code, Standard
from .concrete import Concrete
from .conv import Conv2d, MaxPool2d
from .embedding import Embedding
from .flipout import Flipout
from .gru import GRU
from .hashed import Hashed
from .key import Key, Rows
from .layers import Dense, Layer, ShapeError
from .learned import LearnedGaussian, MeanField
from .lstm import LSTM
from .network import Network
from .noise import Bernoulli, Delta, Gaussian, Noise
from .optimizers import SGD, Adam, Optimizer
from .place import Inputs, Outputs, Place
from .times import Times
from .weight_noise import Local, Weights

__all__ = ["GRU", "LSTM", "SGD", "Adam", "Append", "AveragePool2d", "Bernoulli", "Code", "Concrete", "Conv2d",
           "Delta", "Dense", "Embedding", "Flatten", "Flipout", "Gaussian", "Hashed", "Inputs", "Key",
           "Layer", "LearnedGaussian", "Local", "MaxPool2d", "MeanField", "Network", "Noise", "Optimizer",
           "Outputs", "Place", "ReLU", "Rows", "ShapeError", "Standard", "Tanh", "Times", "Weights", "carry"]
