"""A GRU that reads a long text: truncated back-propagation, the state carried from chunk to chunk.

The text is cut into S streams, which are read side by side, a chunk of T letters at each step. A stream is
one sequence: its state goes on from chunk to chunk, and its z, drawn by (seed, epoch, stream), is the same in
all of them, so that one omega reads the whole stream. Only with over="step" z is drawn anew at each letter.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from ... import DivergenceError, bayes, nn
from ...bayes.summary import log_softmax
from ...fast import carried, parallel
from ...fast.program import Program

VARIANTS = {"none": None, "step": {"over": "step"}, "tied": {}, "untied": {"tied": False}}
WIDTH = 32  # numbers for a letter
STREAMS, CHUNK, SHARD = 64, 64, 32  # streams of the training text; letters a step; streams that a task takes
TEST_STREAMS, TEST_SHARD = 32, 8
RATE, END = 0.01, 0.03  # Adam's rate at the beginning, and which part of it is left at the end


def network(variant: str, vocabulary: int, units: int, keep: float) -> nn.Network:
    """Letters -> embedding -> GRU -> logits of the next letter. Noise on the GRU's inputs and its state."""
    options = VARIANTS[variant]
    noise = {} if options is None else {"noise": nn.Bernoulli(keep)} | options
    return nn.Network(read=nn.Embedding(vocabulary, WIDTH), gru=nn.GRU(WIDTH, units, states="all", **noise),
                      out=nn.Dense(units, vocabulary))


def streams(text: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, y), each (S, L): letters, and those that follow them; less than S letters at the end are left."""
    length = (len(text) - 1) // count
    return text[:count * length].reshape(count, length), text[1:count * length + 1].reshape(count, length)


def steps(text: np.ndarray, epochs: int) -> int:
    """How many steps a Reader takes: a chunk of all streams each."""
    return -(-((len(text) - 1) // STREAMS) // CHUNK) * epochs


def noise_of(net: nn.Network, key: nn.Key, chunk: int, shape: tuple, sequences: np.ndarray,
             passes: np.ndarray) -> dict:
    """z for the chunk: the same for every chunk of a sequence, or, over steps, anew for each."""
    over = [net.layers[name].over for name in net.noisy]
    key = key.derive(f"chunk {chunk}") if "step" in over else key
    return net.sample(key, shape, sequences, passes)


class Reader:
    """One variant in training: parameters, optimizer, and where its streams were left.

    net: takes letters (B, T), gives logits (B, T, V).
    text: the training text, letters 0 ... V - 1.
    epochs: times it is read; the rate of Adam falls linearly over all of them.
    seed: of the first parameters and of the noise.
    """

    def __init__(self, net: nn.Network, text: np.ndarray, epochs: int, seed: int):
        self.net, self.program, self.prior = net, Program(net), bayes.Prior(1.0)
        self.likelihood, self.key = bayes.Categorical(), nn.Key(seed).derive("language")
        x, self.y = streams(text, STREAMS)
        self.x, self.letters = x.astype(np.float32), x.size
        self.chunks, most = steps(text, 1), steps(text, epochs)
        self.optimizer = nn.Adam(RATE, policy=lambda step: 1 - (1 - END) * min(step / most, 1))
        self.params = net.init(seed)
        self.state = self.optimizer.init(self.params)

    def epoch(self, number: int, pool: parallel.Pool, tick: Callable) -> float:
        """Read the text once, from states of zero: the mean of -log p(next letter), nats, while training."""
        shards, total = parallel.slices(STREAMS, SHARD), 0.0
        states = [None] * len(shards)
        for chunk in range(self.chunks):
            tasks = list(zip(shards, states, strict=True))
            done = pool(partial(self.shard, number, chunk), tasks)
            states = [left for _, _, left in done]
            total += self.step([nll for nll, _, _ in done], [grads for _, grads, _ in done])
            tick(1)
        return total / self.letters

    def shard(self, epoch: int, chunk: int, task: tuple) -> tuple:
        """(sum of -log p, its gradient / letters of the chunk, states) of some streams: (rows, states)."""
        rows, states = task
        at = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        x, y = self.x[rows, at], self.y[rows, at]
        numbers = np.arange(rows.start, rows.start + len(x))
        z = noise_of(self.net, self.key, chunk, x.shape, numbers, np.full(len(x), epoch))
        f, caches, states = carried.forward(self.program, self.params, x, z, states)
        nll, df = self.likelihood.nll(f, y)
        df *= df.dtype.type(1 / self.y[:, at].size)
        _, grads = self.program.backward(self.params, caches, df, want_dx=False)
        return float(nll.sum(dtype=np.float64)), grads, states

    def step(self, nlls: list, grads: list) -> float:
        """One step of Adam on nll + KL/N, N letters; the sum of -log p."""
        of_kl = bayes.kl.grad(self.net, self.params, self.prior, self.letters)
        whole = {name: {p: sum((own[name][p] for own in grads), g) for p, g in group.items()}
                 for name, group in of_kl.items()}
        self.params, self.state = self.optimizer.update(self.params, whole, self.state)
        total = sum(nlls)
        if not math.isfinite(total):
            raise DivergenceError(f"the loss became {total} at step {self.state['step']}")
        return total


def nats(net: nn.Network, params: dict, text: np.ndarray, pool: parallel.Pool, samples: int = 0,
         seed: int = 0) -> float:
    """-log of the probability of each next letter, mean over the text, read in streams with carried states.

    samples: T omegas for each stream, whose *probabilities* are averaged letter by letter; 0: z = E[z].
    """
    x, y = streams(text, TEST_STREAMS)
    x, program, key = x.astype(np.float32), Program(net), nn.Key(seed).derive("held out")
    mean = net.mean_noise(params)

    def some(rows):
        own, count = np.arange(rows.start, rows.stop), max(samples, 1)
        sequences, passes = np.tile(own, count), np.repeat(np.arange(count), len(own))
        states, total = None, 0.0
        for chunk in range(-(-x.shape[1] // CHUNK)):
            at = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
            letters = np.tile(x[rows, at], (count, 1))
            z = noise_of(net, key, chunk, letters.shape, sequences, passes) if samples else mean
            f, _, states = carried.forward(program, params, letters, z, states)
            log_p = np.take_along_axis(log_softmax(f).reshape(count, len(own), -1, f.shape[-1]),
                                       y[None, rows, at, None], -1)[..., 0]
            total -= np.log(np.exp(log_p.astype(np.float64)).mean(axis=0)).sum()      # never of log p
        return total

    return float(sum(pool(some, parallel.slices(TEST_STREAMS, TEST_SHARD))) / y.size)
