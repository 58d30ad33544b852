"""What a network, a model and a prediction show of themselves, at a terminal and in a notebook."""

import html
import re

import numpy as np
import pytest

import minibayes as mb
from minibayes import bayes, models, nn, tables


def cells(text, row):
    """The cells of the line that begins with `row`."""
    line = next(line for line in text.splitlines() if line.startswith(f"{row} "))
    return re.split(r" {2,}", line)


def test_a_network_is_a_table():
    net = models.lenet("all")
    text = repr(net)
    lines = text.splitlines()
    assert lines[0] == "Network: inputs 28 x 28 x 1" and len(lines) == len(net.layers) + 4
    assert max(map(len, lines)) <= 100
    assert cells(text, "layer") == ["layer", "output", "noise", "acts on", "parameters", "MFLOP"]
    assert cells(text, "conv1") == ["conv1", "Conv2d", "24 x 24 x 20", "Bernoulli(keep=0.5)",
                                    "Outputs", "520", "0.576"]
    assert cells(text, "pool1") == ["pool1", "MaxPool2d", "12 x 12 x 20"]
    assert cells(text, "fc2") == ["fc2", "Dense", "10", "Bernoulli(keep=0.5)", "Inputs", "5,010", "0.01"]
    count = sum(a.size for group in net.init(0).values() for a in group.values())
    assert cells(text, "in all") == ["in all", f"{count:,}", f"{net.flops(net.input_shape) / 1e6:.3g}"]


def test_a_network_of_any_size_and_learned_noise():
    text = repr(nn.Network(conv=nn.Conv2d(1, 2, 3)))
    assert text.startswith("Network: inputs of any size that fits\n")
    assert cells(text, "conv")[:3] == ["conv", "Conv2d", "?"]
    learned = nn.Network(fc=nn.Dense(3, 2, noise=nn.LearnedGaussian()))
    counted = sum(a.size for group in learned.init(0).values() for a in group.values())
    assert f"{counted:,}" in cells(repr(learned), "fc") and counted > 8


def test_a_model_says_what_it_is_read_with():
    net = models.mlp([3, 4, 1], noise=nn.Bernoulli(0.8))
    assert cells(repr(net), "fc1")[-1] == "< 0.001"
    model = mb.BayesianNetwork(net, bayes.Prior(0.5), bayes.Gaussian(2.0))
    first, *rest = repr(model).splitlines()
    assert first == (f"BayesianNetwork: prior {model.prior!r}, likelihood {model.likelihood!r}, no parameters yet")
    assert rest == repr(model.net).splitlines()[1:]
    model.params = model.net.init(0)
    assert repr(model).splitlines()[0].endswith("parameters float32")


X = np.random.default_rng(0).random((12, 3))


@pytest.mark.parametrize("likelihood, holds", [
    (bayes.Categorical(), ("mean", "std_error", "entropy", "mutual_information", "label")),
    (bayes.Gaussian(1.0), ("mean", "std_error", "epistemic", "variance"))])
@pytest.mark.parametrize("rule", ["mc", "weight-averaging"])
def test_a_prediction_says_what_it_holds(likelihood, holds, rule):
    net = models.mlp([3, 5, 4], noise=nn.Bernoulli(0.8))
    model = mb.BayesianNetwork(net, likelihood=likelihood, params=net.init(0))
    made = model.predict(X, rule=rule, samples=7)
    text = repr(made)
    passes = "7 passes" if rule == "mc" else "1 pass"
    assert text.startswith(f"{type(made).__name__}: 12 inputs by {rule}, {passes}\n")
    assert text.endswith("\nand 9 more inputs") and max(map(len, text.splitlines())) <= 90
    for name in holds:
        values = getattr(made, name)
        shown = [" ".join(f"{v:.3g}" for v in np.ravel(row)[:2]) + (" ..." if row.size > 2 else "")
                 for row in values[:3]]
        assert cells(text, name) == [name, str(values.shape), *shown]
    assert "more" not in repr(model.predict(X[:3])) and "input 2" not in repr(model.predict(X[:2]))


def test_in_a_notebook_it_is_html():
    """Every cell of the text is there, escaped."""
    net = models.mlp([3, 4, 2], noise=nn.Bernoulli(0.8))
    model = mb.BayesianNetwork(net, params=net.init(0))
    for thing in (net, model, model.predict(X)):
        page = thing._repr_html_()
        assert page.startswith("<div>") and page.count("<table>") == page.count("</table>") == 1
        bare = html.unescape(re.sub("<[^>]*>", " ", page)).split()
        assert bare == [word for word in repr(thing).split() if set(word) != {"-"}]
    page = tables.Table("<b>", ("<i>",), [("<u>",)]).html()
    assert all(f"&lt;{letter}&gt;" in page and f"<{letter}>" not in page for letter in "biu")


def test_a_message_about_a_wrong_network_is_one_line():
    model = mb.BayesianNetwork(models.mlp([3, 2]))
    with pytest.raises(mb.InputError, match="^net must be an nn.Network, got BayesianNetwork$"):
        mb.BayesianNetwork(model)
