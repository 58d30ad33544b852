"""One run of all rows, interleaved; the table and the JSON that `python -m minibayes bench` prints."""

import os
import platform
import statistics
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from .. import models, nn
from ..fast import parallel
from ..fast.program import Program
from ..progress import bar
from ..studies import common
from ..studies.frame import JSON_HELP, THREADS_HELP, Command, versions
from . import atlas, sequences, techniques, work
from .peer import Peer
from .start import memory, start
from .timing import Sgemm, interleaved


def processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def candidates(threads: int, quick: bool) -> dict:
    """{row: (callable, unit count)}: a row's seconds divided by its count are what is reported."""
    count = 128 if quick else 256
    rows = {
        "train": (work.lenet_training(threads), work.TRAIN_STEPS),
        "train 1 thread": (work.lenet_training(1), work.TRAIN_STEPS),
        "mc": (work.lenet_prediction(threads, count, 50), count),
        "mc 1 thread": (work.lenet_prediction(1, count, 50), count),
        "mc one pass": (work.lenet_prediction(threads, count, 1), count),
        "mc kernel": (work.lenet_prediction(threads, count, 50, "kernel"), count),
        "mc kernel shared": (work.lenet_prediction(threads, count, 50, "kernel", shared=True), count),
        "mlp train": (work.mlp_training(threads), 5),
        "mlp mc": (work.mlp_prediction(threads, count, 50, False), count),
        "mlp mc shared": (work.mlp_prediction(threads, count, 50, True), count),
        "tiny train": (work.tiny_training(threads), work.TINY_STEPS),
        "tiny predict": (work.tiny_prediction(threads), 1),
    }
    return rows


MORE = {"atlas": atlas, "sequences": sequences, "techniques": techniques}  # what --all adds: a file each

PEERS = {  # row here: names there (the fastest counts), unit count
    "train": (("train", "train channels-last"), 10),
    "mc": (("mc", "mc channels-last"), 256),
    "mc kernel": (("mc kernel",), 256),
    "mlp train": (("mlp train",), 5),
    "mlp mc": (("mlp mc",), 256),
    "tiny train": (("tiny train",), 100),
    "tiny predict": (("tiny predict",), 1),
    "tiny predict at once": (("tiny predict at once",), 1),
}


def layers(repeats: int = 30) -> dict:
    """{stage: {forward_us, backward_us}} an image, medians: the stages of 32 images on one thread."""
    net = Program(models.lenet("all"))
    params, (x, _) = net.init(0), work.digits(32)
    times = {}

    def timed(function, name, way):
        def call(*args):
            began = time.perf_counter()
            result = function(*args)
            times.setdefault(name, {}).setdefault(way, []).append(time.perf_counter() - began)
            return result
        return call

    sample = timed(net.sample, "noise", "forward_us")
    for stage in net.stages:
        stage.forward = timed(stage.forward, stage.name, "forward_us")
        stage.backward = timed(stage.backward, stage.name, "backward_us")
    with parallel.single_threaded_blas():
        for t in range(repeats):
            z = sample(nn.Key(0, t), x.shape)
            f, caches = net.forward(params, x, z)
            net.backward(params, caches, f, want_dx=False)
    return {name: {way: statistics.median(v) * 1e6 / len(x) for way, v in ways.items()}
            for name, ways in times.items()}


def measure(threads: int, quick: bool, progress: bool = False) -> dict:
    """The dict that --json prints."""
    sgemm, rounds = Sgemm(), 3 if quick else 9
    rows = candidates(threads, quick)
    functions = {"sgemm": sgemm} | {name: f for name, (f, _) in rows.items()}
    peer = Peer(threads)
    if peer.reason is None:
        functions |= {("peer", name): peer(name) for names, _ in PEERS.values() for name in names}
    with bar(progress, (rounds + 1) * len(functions), "bench", " measurements") as progress_bar:
        took = interleaved({name: counted(f, progress_bar) for name, f in functions.items()}, rounds)
    peer.close()
    s = {name: took[name] / count for name, (_, count) in rows.items()}
    gflops = sgemm.flop / took["sgemm"] / 1e9
    peak = gflops * 1e9

    result = {
        "machine": {"cpu": processor(), "processors": os.cpu_count(), "threads": threads,
                    "sgemm_gflops": gflops, "versions": versions() | {"torch": peer.version}},
        "train": {"step_ms": s["train"] * 1e3, "images_per_s": work.BATCH / s["train"],
                  "fraction_of_peak": work.TRAIN_FLOP * work.BATCH / s["train"] / peak, "layers": layers()},
        "mc": {"us_per_image": s["mc"] * 1e6, "fraction_of_peak": work.MC_FLOP * 50 / s["mc"] / peak,
               "ratio_to_passes": s["mc"] / (50 * s["mc one pass"])},
        "mc_kernel": {"us_per_image": s["mc kernel"] * 1e6,
                      "shared_us_per_image": s["mc kernel shared"] * 1e6,
                      "speedup": s["mc"] / s["mc kernel"],
                      "shared_speedup": s["mc"] / s["mc kernel shared"]},
        "mlp": {"step_ms": s["mlp train"] * 1e3, "us_per_image": s["mlp mc"] * 1e6,
                "shared_us_per_image": s["mlp mc shared"] * 1e6,
                "shared_speedup": s["mlp mc"] / s["mlp mc shared"]},
        "tiny": {"step_us": s["tiny train"] * 1e6, "predict_s": s["tiny predict"]},
        "scaling": {"train_speedup": s["train 1 thread"] / s["train"],
                    "mc_speedup": s["mc 1 thread"] / s["mc"]},
        "start": start(),
        "memory": memory(quick),
        "peer": {"available": peer.reason is None, "reason": peer.reason},
    }
    if peer.reason is None:
        for name, (there, count) in PEERS.items():
            fastest = min(took["peer", t] for t in there) / count
            ours = s["tiny predict" if name == "tiny predict at once" else name]
            result["peer"][name] = {"ratio": fastest / ours, "seconds": fastest}
    return result


def measure_more(name: str, threads: int, quick: bool, progress: bool = False) -> dict:
    """What --all adds under this name."""
    nets = MORE[name]
    peer, rounds = Peer(threads, name), 2 if quick else 7
    timed = nets.functions(threads, peer if peer.reason is None else None)
    with bar(progress, (rounds + 1) * len(timed), name, " measurements") as progress_bar:
        result = nets.measure({key: counted(f, progress_bar) for key, f in timed.items()}, rounds)
    peer.close()
    return result


def counted(function: Callable, progress_bar: object) -> Callable:
    """`function`, which moves the bar."""
    def call():
        function()
        progress_bar.update(1)
    return call


def table(r: dict) -> str:
    """The printed form: every row with what it counts."""
    machine, peer = r["machine"], r["peer"]

    def times(name):
        return f"{peer[name]['ratio']:.1f} x" if peer["available"] else "-"

    rows = [
        ("train step, LeNet-all, batch 64", f"{r['train']['step_ms']:.2f} ms",
         f"{r['train']['fraction_of_peak']:.2f}", times("train")),
        ("MC T = 50, noise per patch, an image", f"{r['mc']['us_per_image']:.0f} us",
         f"{r['mc']['fraction_of_peak']:.2f}", times("mc")),
        ("   its cost over 50 single passes", f"{r['mc']['ratio_to_passes']:.2f}", "", ""),
        ("MC T = 50, noise per kernel, an image",
         f"{r['mc_kernel']['us_per_image']:.0f} us", "", times("mc kernel")),
        ("   faster than per patch; and shared",
         f"{r['mc_kernel']['speedup']:.1f} x; {r['mc_kernel']['shared_speedup']:.1f} x", "", ""),
        ("train step, 784-1024-1024-10, batch 64", f"{r['mlp']['step_ms']:.2f} ms", "", times("mlp train")),
        ("MC T = 50 of it, an image", f"{r['mlp']['us_per_image']:.0f} us", "", times("mlp mc")),
        ("   shared noise faster by", f"{r['mlp']['shared_speedup']:.1f} x", "", ""),
        ("train step, 13-50-1, batch 128, Adam", f"{r['tiny']['step_us']:.0f} us", "", times("tiny train")),
        ("T = 10,000 of it, 51 points (loop there)",
         f"{r['tiny']['predict_s'] * 1e3:.0f} ms", "", times("tiny predict")),
        ("   (one batch of all passes there)", "", "", times("tiny predict at once")),
        (f"{machine['threads']} threads over 1: train; MC",
         f"{r['scaling']['train_speedup']:.2f} x; {r['scaling']['mc_speedup']:.2f} x", "", ""),
        ("import; first step cold; warm", "; ".join(f"{v:.1f} s" for v in r["start"].values()), "", ""),
        ("peak memory: T = 10; T = 1000; mnist --quick",
         "; ".join("-" if v is None else f"{v:.0f} MB" for v in r["memory"].values()), "", ""),
    ]
    lines = [f"{machine['cpu']}, {machine['threads']} of {machine['processors']} processors, "
             f"sgemm {machine['sgemm_gflops']:.0f} GFLOP/s",
             f"matrix products: {machine['versions']['blas']}",
             f"peer: PyTorch {machine['versions']['torch']} eager, the better memory format"
             if peer["available"] else f"peer: none ({peer['reason']})", "",
             common.table(("work", "here", "of peak", "PyTorch takes"), rows), "",
             "where a training step goes, us an image on one thread (forward + backward): " + ", ".join(
                 f"{name} {sum(ways.values()):.0f}" for name, ways in r["train"]["layers"].items()
                 if sum(ways.values()) >= 0.5),
             "of peak: arithmetic of the dense products (13.2 MFLOP an image for a step, 4.0 for a pass) at "
             "NumPy's own sgemm rate = 1.",
             "medians of interleaved repetitions; equal nets, shuffled batches, noise positions; conv1 once "
             "for all T on both sides."]
    more = [["", nets.table(r[name])] for name, nets in MORE.items() if name in r]
    return "\n".join(sum(more, lines))


class Bench(Command, name="bench", about="speed on this machine as ratios: against its own sgemm "
            "peak, and against PyTorch if it is installed"):
    def options(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quick", action="store_true",
                            help="fewer repetitions, no memory of the main job")
        parser.add_argument("--all", action="store_true", help="the atlas too: sixteen nets, a GRU and "
                            "seven kinds of q, a training step and an MC pass each, beside PyTorch")
        parser.add_argument("--json", action="store_true", help=JSON_HELP)
        parser.add_argument("--threads", type=int, metavar="N", help=THREADS_HELP)

    def settings(self, options: Namespace) -> dict:
        return {"quick": options.quick, "all": options.all}

    def run(self, settings: dict, threads: int | None = None, progress: bool = False) -> dict:
        result = measure(threads, settings["quick"], progress)
        if settings["all"]:
            for name in MORE:
                result[name] = measure_more(name, threads, settings["quick"], progress)
        return result

    def table(self, result: dict) -> str:
        return table(result)
