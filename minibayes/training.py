"""Repeat: sample omega-hat ~ q_theta(omega), and minimise L-hat(theta) one step. = Dropout training.

The loop is a pure function of (data, settings, step): batch order and noise are derived from the seed and the
epoch, so a run that was interrupted resumes from its checkpoint bit for bit.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from os import PathLike

import numpy as np

from . import own, records, require
from .bayes import Objective
from .bayes.warm_up import KLFactor
from .checkpoint import Checkpoint, DivergenceError, State, check_finite
from .fast import parallel
from .fast.forks import gate
from .nn import Optimizer
from .reports import stops
from .run import Run


def fit(model: object, x: np.ndarray, y: np.ndarray, start: dict, *, last_step: int, batch_size: int,
        optimizer: Optimizer, objective: Objective, seed: int, report_every: int | None, evaluate: Callable,
        progress: bool, checkpoint: str | PathLike | None, checkpoint_every: int | None, resume: bool,
        threads: int | None, plain: bool, kl_factor: KLFactor | None = None, patience: int | None = None,
        augment: Callable | None = None) -> State:
    """Train from the parameters `start` to last_step: the last State. `BayesianNetwork.fit` explains it.

    Every `report_every` steps (None: every epoch) and at the end a row joins the history, with what
    evaluate(params, row) returns first; the run ends where it returns False second. On Ctrl-C, and after any
    error but divergence, the model keeps the last finished step's parameters, and so does the checkpoint.
    """
    from .progress import bar  # tqdm's own import takes longer than all of nn's

    threads = parallel.thread_count(threads)
    run = Run(objective, optimizer, x, y, batch_size, seed, plain, kl_factor, patience, augment)
    # In another memory order sums would round otherwise, and a run from a checkpoint, which is always in this
    # one, would differ in the last bit.
    start = {name: {p: np.ascontiguousarray(a) for p, a in group.items()} for name, group in start.items()}
    state, keeper = State(0, start, optimizer.init(start)), None
    if checkpoint is not None:
        keeper = Checkpoint(checkpoint, model, run, seed, start)
        if resume and keeper.path.exists():
            state = keeper.load()
            if state.step > last_step:
                raise require.InputError(f"checkpoint {str(keeper.path)!r} is at step {state.step}, beyond "
                                         f"the {last_step} asked for")
        else:
            keeper.save(state)  # a path that cannot be written shows before the work, not after
    step, goes_on = gate.passed(run.step), True  # a fork in another thread waits for the end of a step
    began, report_every = time.perf_counter(), report_every or run.steps_per_epoch
    try:
        total = run.examples_before(last_step)
        with parallel.pool(threads) as pool, bar(progress, total, "fit", " images") as progress_bar:
            progress_bar.update(run.examples_before(state.step))
            while True:
                ends = state.step % report_every == 0 or state.step == last_step
                written = bool(state.history) and state.history[-1]["step"] == state.step
                due = state.step > 0 and ends and not written
                if due:
                    check_finite(state)
                    nll, loss, count = state.sums
                    row = {"epoch": state.step / run.steps_per_epoch, "step": state.step,
                           "loss": loss / count, "nll": nll / count, "seconds": time.perf_counter() - began}
                    reported = state.history[-1]["step"] if state.history else 0
                    row |= run.kl_factor.row(reported, state.step)
                    added, goes_on = evaluate(state.params, row)
                    row |= records.as_plain(added) if keeper else added  # as a resumed run finds it
                    state = replace(state, history=[*state.history, row], sums=(0.0, 0.0, 0))
                    if stops(state.history, patience)[0]:
                        state = replace(state, best=own.tree(state.params))
                    began = time.perf_counter()
                if keeper and (due or checkpoint_every and state.step and state.step % checkpoint_every == 0):
                    keeper.save(state)
                if state.step >= last_step or not goes_on or stops(state.history, patience)[1]:
                    return state
                before, state = state, step(state, pool)
                progress_bar.update(state.sums[2] - before.sums[2])
                if progress_bar.disable is False and state.step % 20 == 0:
                    epoch, loss = state.step / run.steps_per_epoch, state.sums[1] / state.sums[2]
                    progress_bar.set_postfix_str(f"epoch {epoch:.1f}, loss {loss:.4f}", refresh=False)
    except DivergenceError:  # the model and the last good checkpoint stay as they are
        raise
    except (Exception, KeyboardInterrupt) as error:  # a full disk, an error in a report: training is not lost
        if state.step or isinstance(error, KeyboardInterrupt):
            model.params, model.history = state.params, state.history
            if keeper:
                with contextlib.suppress(DivergenceError, require.InputError):
                    keeper.save(state)
        raise
