"""Network: shapes inferred and checked at construction, in messages that name the layer; the passes of a prediction."""

import copy
import pickle

import numpy as np
import pytest

from minibayes import InputError, models, nn

CONV, FLAT = nn.Conv2d(1, 20, 5), nn.Flatten()
BAD = [
    (lambda: nn.Network(), "at least one layer"),
    (lambda: nn.Network(a=3), r"layer 'a' must be a layer.*got 3"),
    (lambda: nn.Network(a=nn.Dense(3, 4), b=nn.Dense(5, 2)), r"layer 'b' \(Dense\) takes inputs of shape \(5,\), got \(4,\)"),
    (lambda: nn.Network(a=CONV, b=nn.Conv2d(21, 3, 3)), r"layer 'b' \(Conv2d\) takes images of shape \(H, W, 21\)"),
    (lambda: nn.Network(a=CONV, f=FLAT, d=nn.Dense(801, 2)), r"layer 'd' \(Dense\) takes inputs of shape \(801,\), which no square image"),
    (lambda: nn.Network((4, 4, 1), a=CONV), r"layer 'a' \(Conv2d\) a window of 5 does not fit into 4 pixels"),
    (lambda: nn.Network((4, 4, 0), a=CONV), r"input_shape must be >= 1, got 0"),
    (lambda: nn.Network((28, 28, 3), a=CONV), r"takes images of shape \(H, W, 1\), got \(28, 28, 3\)"),
    (lambda: nn.Network(p=nn.MaxPool2d(2), c=CONV), "input shape before a pooling layer"),
    (lambda: nn.Network(a=nn.Dense(3, 4), c=CONV), r"layer 'c' \(Conv2d\) takes images"),
    (lambda: nn.Network(a=CONV, d=nn.Dense(20, 4)), r"layer 'd' \(Dense\) takes inputs of shape \(20,\)"),
]


@pytest.mark.parametrize("build, message", BAD)
def test_layers_that_do_not_fit(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_lenet_is_the_paper_s():
    net = models.lenet("all")
    shapes = {name: out for name, (_, out) in net.shapes((28, 28, 1)).items()}
    assert shapes == {"conv1": (24, 24, 20), "pool1": (12, 12, 20), "conv2": (8, 8, 50), "pool2": (4, 4, 50), "flat": (800,),
                      "fc1": (500,), "relu1": (500,), "fc2": (10,)}
    assert [models.lenet(v).noisy for v in models.VARIANTS] == [(), ("fc2",), ("conv1", "conv2", "fc2")]
    assert sum(a.size for g in net.init(0).values() for a in g.values()) == 431_080
    assert net.flops((28, 28, 1)) == pytest.approx(4.59e6, rel=0.01)


def test_inference_accepts_what_fits():
    assert nn.Network(c=CONV, p=nn.MaxPool2d(2), f=FLAT, d=nn.Dense(2880, 3)).input_shape is None
    assert nn.Network(d=nn.Dense(7, 3)).input_shape == (7,)
    net = nn.Network((10, 20, 1), c=CONV, f=FLAT, d=nn.Dense(6 * 16 * 20, 2))
    assert net.output_shape((10, 20, 1)) == (2,)
    with pytest.raises(InputError, match=r"layer 'd'"):
        net.shapes((20, 20, 1))


@pytest.mark.parametrize("net", [
    models.lenet("all"), models.lenet("ip"), models.lenet("none"), models.lenet("all", noise=nn.Gaussian(), noise_per="kernel"),
    nn.Network((28, 28, 1), f=FLAT, d=nn.Dense(784, 5, noise=nn.Bernoulli(0.8)), r=nn.ReLU(), e=nn.Dense(5, 2, noise=nn.Gaussian())),
], ids=lambda n: "-".join(n.noisy) or "none")
@pytest.mark.parametrize("shared", [False, True])
def test_passes_are_forwards_at_fresh_noise(net, shared):
    params, x = net.init(0), np.random.default_rng(0).random((3, 28, 28, 1), np.float32)

    def gather(found, f, passes, inputs):
        assert inputs == slice(0, 3) and passes == slice(len(found or ()), len(found or ()) + 1)
        return [*(found or ()), f[0]]

    (_, found), = net.passes(params, x, nn.Key(1, 5), 3, gather, shared)
    for t in range(3):
        z = net.sample(nn.Key(1, 5 + t), x.shape, shared=shared)
        assert (found[t] == net.forward(params, x, z)[0]).all()


def test_a_network_pickles_and_copies():
    net = models.lenet("all")
    for again in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert again.layers == net.layers and again.input_shape == net.input_shape and again.noisy == net.noisy


def test_layers_cannot_be_swapped_after_construction():
    net = models.mlp([3, 4, 2])
    with pytest.raises(TypeError):
        net.layers["fc1"] = nn.Dense(3, 5)
    with pytest.raises(AttributeError):
        net.layers["fc1"].n_in = 9
