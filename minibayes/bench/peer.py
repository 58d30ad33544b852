"""The same networks, batches, noise positions and arithmetic in PyTorch eager, in a process of their own.

Run as a script with the number of threads, and the name of a file such as "atlas" for its nets, it prints
"ready" or why it cannot, then answers each line NAME on stdin with the seconds that the work of that name
took. A separate process keeps its threads from spinning while ours work. PyTorch is no dependency of
minibayes.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Callable

from . import atlas, sequences, techniques


class Peer:
    """The process; `peer(name)` is a callable that makes it work once, `reason` says why there is none."""

    def __init__(self, threads: int, what: str = ""):
        self.process = subprocess.Popen([sys.executable, "-m", "minibayes.bench.peer", str(threads), what],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        answer = self.process.stdout.readline().strip()
        self.version = answer.removeprefix("ready ") if answer.startswith("ready ") else None
        self.reason = None if self.version else answer or "it could not be started"

    def __call__(self, name: str) -> Callable[[], None]:
        def work():
            self.process.stdin.write(name + "\n")
            self.process.stdin.flush()
            if not self.process.stdout.readline():
                raise RuntimeError(f"the PyTorch process ended while it measured {name}")
        return work

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def works(torch: object) -> dict[str, Callable]:
    """{name: callable}: each does the work of its namesake in work.py."""
    F = torch.nn.functional
    generator = torch.Generator().manual_seed(0)

    def lenet(channels_last, dropout=F.dropout):
        net = torch.nn.ModuleDict({"conv1": torch.nn.Conv2d(1, 20, 5), "conv2": torch.nn.Conv2d(20, 50, 5),
                                   "fc1": torch.nn.Linear(800, 500), "fc2": torch.nn.Linear(500, 10)})
        net = net.to(memory_format=torch.channels_last) if channels_last else net

        def respond(x):
            return net["conv1"](x)

        def rest(y):
            y = F.max_pool2d(dropout(y, 0.5, True), 2)
            y = F.max_pool2d(dropout(net["conv2"](y), 0.5, True), 2)
            return net["fc2"](F.dropout(F.relu(net["fc1"](y.flatten(1))), 0.5, True))
        return net, respond, rest

    def images(count, channels_last=False):
        x = torch.rand((count, 1, 28, 28), generator=generator)
        return x.to(memory_format=torch.channels_last) if channels_last else x

    def labels(count):
        return torch.randint(0, 10, (count,), generator=generator)

    def training(forward, loss, optimizer, x, y, batch, steps):
        """Steps on shuffled batches, epoch after epoch, as fit takes them."""
        def batches():
            while True:
                for rows in torch.randperm(len(x), generator=generator).split(batch):
                    yield x[rows], y[rows]
        stream = batches()

        def work():
            for inputs, targets in itertools.islice(stream, steps):
                optimizer.zero_grad()
                loss(forward(inputs), targets).backward()
                optimizer.step()
        return work

    def train_lenet(channels_last, steps=10):
        net, respond, rest = lenet(channels_last)
        optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
        x, y = images(1280, channels_last), labels(1280)
        return training(lambda inputs: rest(respond(inputs)), F.cross_entropy, optimizer, x, y, 64, steps)

    def mc_lenet(channels_last, count=256, samples=50, dropout=F.dropout):
        _, respond, rest = lenet(channels_last, dropout)
        x = images(count, channels_last)

        @torch.inference_mode()
        def work():
            y, total = respond(x), torch.zeros(count, 10)  # conv1 once for all passes, as here
            for _ in range(samples):
                total += rest(y).softmax(dim=1)
            return total / samples
        return work

    def mlp(sizes, drop, first=0.0):
        linear = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))

        def forward(x):
            x = F.dropout(x, first, True) if first else x
            for layer in linear[:-1]:
                x = F.dropout(F.relu(layer(x)), drop, True)
            return linear[-1](x)
        return linear, forward

    def train_mlp(steps=5):
        net, forward = mlp((784, 1024, 1024, 10), 0.5)
        optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
        return training(forward, F.cross_entropy, optimizer, images(1280).flatten(1), labels(1280), 64, steps)

    def mc_mlp(count=256, samples=50):
        _, forward = mlp((784, 1024, 1024, 10), 0.5)
        x = torch.rand((count, 784), generator=generator)

        @torch.inference_mode()
        def work():
            total = torch.zeros(count, 10)
            for _ in range(samples):
                total += forward(x).softmax(dim=1)
        return work

    def train_tiny(steps=100):
        net, forward = mlp((13, 50, 1), 0.05, 0.05)
        optimizer = torch.optim.Adam(net.parameters(), 1e-3, weight_decay=1e-4)
        x, y = torch.randn((12_800, 13), generator=generator), torch.randn((12_800, 1), generator=generator)
        return training(forward, F.mse_loss, optimizer, x, y, 128, steps)

    def predict_tiny(samples=10_000, at_once=False):
        _, forward = mlp((13, 50, 1), 0.05, 0.05)
        x = torch.randn((51, 13), generator=generator)

        @torch.inference_mode()
        def work():
            if at_once:
                f = forward(x.repeat(samples, 1)).reshape(samples, 51)
                return f.mean(0), f.var(0)
            f = torch.stack([forward(x) for _ in range(samples)])
            return f.mean(0), f.var(0)
        return work

    return {"train": train_lenet(False), "train channels-last": train_lenet(True),
            "mc": mc_lenet(False), "mc channels-last": mc_lenet(True),
            "mc kernel": mc_lenet(True, dropout=F.dropout2d), "mlp train": train_mlp(),
            "mlp mc": mc_mlp(), "tiny train": train_tiny(),
            "tiny predict": predict_tiny(), "tiny predict at once": predict_tiny(at_once=True)}


def serve(threads: int, what: str) -> None:
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed", flush=True)
        return
    torch.set_num_threads(threads)
    more = {"atlas": atlas, "sequences": sequences, "techniques": techniques}
    table = (more[what].works if what else works)(torch)
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        table[line.strip()]()
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
