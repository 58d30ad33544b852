"""A GRU on letters: a training step and an MC pass beside the same net in PyTorch, as a loop and as nn.GRU.

    letters -> Embedding(83, 32) -> GRU(32, 128) -> Dense(128, 83), at each of 64 steps, for 64 texts

with one z for a text, on inputs and state, the same for all gates. PyTorch's nn.GRU, which takes all steps in
one call, has no noise on its state: it gets that on the inputs alone, and does less. With noise on the state
the cell must be written out there, and its steps be a loop.
"""

from collections.abc import Callable

import numpy as np

from .. import nn
from ..bayes import Categorical
from ..studies import common
from . import work
from .timing import interleaved

LETTERS, WIDTH, UNITS, KEEP = 83, 32, 128, 0.75
BATCH, LENGTH = 64, 64
COUNTS = {"train": 4, "mc": 10}  # training steps and passes of a repetition
WORK = {"train": "training step", "mc": "MC pass"}
FORMS = {"loop": "as a loop, the same masks", "fused": "nn.GRU, no masks on the state"}


def net() -> nn.Network:
    return nn.Network(read=nn.Embedding(LETTERS, WIDTH),
                      gru=nn.GRU(WIDTH, UNITS, noise=nn.Bernoulli(KEEP), states="all"),
                      out=nn.Dense(UNITS, LETTERS))


def texts(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(letters, those that follow), (count, LENGTH) each, at random."""
    found = np.random.default_rng(0).integers(0, LETTERS, (count, LENGTH + 1))
    return found[:, :-1].astype(np.float32), found[:, 1:]


def here(threads: int) -> dict[str, Callable]:
    x, y = texts(4 * BATCH)
    steps = COUNTS["train"]
    return {"train": work.Training(net(), x, y, Categorical(), nn.Adam(1e-3), BATCH, steps, threads),
            "mc": work.Prediction(net(), x[:BATCH], Categorical(), threads, samples=COUNTS["mc"])}


def works(torch: object) -> dict[str, Callable]:
    """{"loop/train", "loop/mc", "fused/train", "fused/mc"}: the same in PyTorch."""
    F, table = torch.nn.functional, {}

    def mask(rows, width):
        return torch.empty(rows, width).bernoulli_(KEEP)

    def add(form):
        read, out = torch.nn.Embedding(LETTERS, WIDTH), torch.nn.Linear(UNITS, LETTERS)
        gru = torch.nn.GRU(WIDTH, UNITS, batch_first=True)
        of_inputs, of_state = torch.nn.Linear(WIDTH, 3 * UNITS), torch.nn.Linear(UNITS, 3 * UNITS)
        own = [gru] if form == "fused" else [of_inputs, of_state]

        def rest(e):
            """Logits from the letters' vectors (B, T, D), with one z a text."""
            z_x = mask(len(e), WIDTH)
            if form == "fused":
                return out(gru(e * z_x[:, None])[0])
            z_h, h, states = mask(len(e), UNITS), torch.zeros(len(e), UNITS), []
            for t in range(LENGTH):
                p_r, p_u, p_n = of_inputs(e[:, t] * z_x).chunk(3, 1)
                q_r, q_u, q_n = of_state(h * z_h).chunk(3, 1)
                u, n = torch.sigmoid(p_u + q_u), torch.tanh(p_n + torch.sigmoid(p_r + q_r) * q_n)
                h = n + u * (h - n)
                states.append(h)
            return out(torch.stack(states, 1))

        x, y = (torch.from_numpy(a.astype(np.int64)) for a in texts(4 * BATCH))
        parameters = [p for module in (read, *own, out) for p in module.parameters()]
        optimizer = torch.optim.Adam(parameters, 1e-3, weight_decay=1e-4)

        def train():
            for rows in torch.randperm(len(x)).split(BATCH)[:COUNTS["train"]]:
                optimizer.zero_grad()
                F.cross_entropy(rest(read(x[rows])).flatten(0, 1), y[rows].flatten()).backward()
                optimizer.step()

        @torch.inference_mode()
        def mc():
            e = read(x[:BATCH])  # once for all passes, as here
            return sum(rest(e).softmax(dim=-1) for _ in range(COUNTS["mc"])) / COUNTS["mc"]

        table[f"{form}/train"], table[f"{form}/mc"] = train, mc

    for form in FORMS:
        add(form)
    return table


def functions(threads: int, peer: Callable | None) -> dict:
    """{(what, where): callable} to be timed; peer: None without PyTorch."""
    found = {(what, "here"): function for what, function in here(threads).items()}
    if peer is not None:
        found |= {(what, form): peer(f"{form}/{what}") for what in COUNTS for form in FORMS}
    return found


def measure(timed: dict, rounds: int) -> dict:
    """{"train_ms", "mc_ms"} of `functions`, and {"train_loop_ratio", ...} if PyTorch is there."""
    took = interleaved(timed, rounds)
    result = {f"{what}_ms": took[what, "here"] / count * 1e3 for what, count in COUNTS.items()}
    return result | {f"{what}_{form}_ratio": took[what, form] / took[what, "here"]
                     for what, form in took if form in FORMS}


def table(result: dict) -> str:
    """A row for each kind of work, a column for each form that it has in PyTorch."""
    def ratio(name):
        return f"{result[name]:.2f} x" if name in result else "-"

    rows = [(f"{WORK[what]}, GRU {UNITS}, {BATCH} texts of {LENGTH} letters",
             f"{result[f'{what}_ms']:.2f} ms",
             *(ratio(f"{what}_{form}_ratio") for form in FORMS)) for what in COUNTS]
    return common.table(("sequences", "here", *(f"PyTorch {said}" for said in FORMS.values())), rows)
