"""The claims about sequences: each catches the mistake it is there for."""

import numpy as np

from minibayes import nn
from minibayes.claims import sequences
from minibayes.nn import recurrent


def failing(function):
    return {finding.name for finding in function() if not finding.passed}


def test_the_state_is_not_masked(monkeypatch):
    """Dropout on the inputs alone: then W is not what runs."""
    monkeypatch.setattr(nn.GRU, "split", lambda self, z: (recurrent.Recurrent.split(self, z)[0], 1))
    assert failing(sequences.one_omega) == {"sequences-one-omega"}


def test_a_mask_for_every_row(monkeypatch):
    """Untied masks that are not the same for a gate's rows."""
    true = recurrent.Recurrent.weights

    def rolled(self, params, z):
        out = true(self, params, z)
        return out if self.tied else out | {"W": params["M"] * np.roll(out["W"] / params["M"], 1, axis=1)}

    monkeypatch.setattr(recurrent.Recurrent, "weights", rolled)
    assert failing(sequences.one_omega) == {"sequences-one-omega", "sequences-tied-and-untied"}


def test_one_z_called_a_step(monkeypatch):
    """The comparison that compares nothing: the first step's mask at all steps."""
    monkeypatch.setattr(recurrent, "at", lambda z, t: z if recurrent.none(z) else z[:, 0])
    assert failing(sequences.a_mask_a_step) == {"sequences-a-mask-a-step"}


def test_the_mask_is_forgotten_on_the_way_back(monkeypatch):
    true = recurrent.gated_rows
    monkeypatch.setattr(recurrent, "gated_rows", lambda da, z, M: true(da, 1, M))
    assert failing(sequences.through_time) == {"sequences-gradient"}


def test_a_step_that_is_not_there_is_taken(monkeypatch):
    """As padding with zeros is: the state moves on."""
    true = recurrent.Recurrent.forward

    def padded(self, params, x, z=1, state=None):
        return true(self, params, np.nan_to_num(x), z, state)

    monkeypatch.setattr(recurrent.Recurrent, "forward", padded)
    assert "sequences-padding" in failing(sequences.through_time)


def test_a_mask_drawn_with_the_drop_rate(monkeypatch):
    """keep and 1 - keep: equal only at a half."""
    monkeypatch.setattr(nn.Bernoulli, "draw", lambda self, key, shape, rows: key.bernoulli(shape, rows, 1 - self.keep))
    assert failing(sequences.enumerated) == {"sequences-enumerated"}
