"""Compact files: the same bits in fewer bytes, a code as short as a Bayesian's surprise, and nothing in a bad file is believed."""

import io
import json
import math
import types
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibayes as mb
from minibayes import bayes, kernels, models, nn, packing, storage
from minibayes.kernels import range_coder

WORDS = {"f4": np.uint32, "f8": np.uint64}


def back(arrays):
    data = packing.pack(arrays)
    found = packing.unpack(data, [a.shape for a in arrays], arrays[0].dtype.name)
    assert [a.tobytes() for a in found] == [a.tobytes() for a in arrays]
    assert [(a.shape, a.dtype) for a in found] == [(a.shape, a.dtype) for a in arrays]
    return len(data)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(shape=st.lists(st.integers(1, 7), min_size=1, max_size=4), dtype=st.sampled_from(["f4", "f8"]), density=st.sampled_from([0, 0.1, 1]),
       values=st.sampled_from([1, 2, 3, 100, None]), seed=st.integers(0, 99))
def test_any_arrays_come_back_bit_for_bit(shape, dtype, density, values, seed):
    """Any bit pattern, -0, infinities and NaN too: what may stand in a file is asked elsewhere."""
    rng = np.random.default_rng(seed)
    word = WORDS[dtype]
    bits = rng.integers(0, np.iinfo(word).max, tuple(shape), word, endpoint=True)
    if values:
        bits = rng.choice(bits.ravel(), values)[rng.integers(0, values, tuple(shape))]
    bits = np.where(rng.random(tuple(shape)) < density, bits, 0).astype(word)
    back([bits.view(dtype), np.array([0.0, -0.0, 1.0], dtype)])


def in_python(name):
    """The kernel and all that it calls as plain Python."""
    functions = {n: getattr(f, "py_func", f) for n, f in vars(range_coder).items()}
    functions |= {n: types.FunctionType(f.__code__, functions) for n, f in functions.items() if isinstance(f, types.FunctionType)}
    return functions[name]


def test_the_compiled_coder_is_the_plain_one():
    rng = np.random.default_rng(0)
    code = np.where(rng.random((9, 11)) < 0.3, rng.integers(1, 9, (9, 11)), 0).astype(np.uint64)
    rest = rng.integers(0, 8, code.shape).astype(np.uint64)
    one, two = np.zeros(400, np.uint8), np.zeros(400, np.uint8)
    length = kernels.encode(code, rest, 3, 3, one)
    assert in_python("encode")(code, rest, 3, 3, two) == length and one.tobytes() == two.tobytes()
    for run in (kernels.decode, in_python("decode")):
        codes, rests = np.empty_like(code), np.empty_like(code)
        assert run(one[:length], 3, 3, codes, rests) <= length + 6
        assert (codes == code).all() and (rests == np.where(code != 0, rest, 0)).all()


def log2_marginal(zeros, ones):
    """log2 of the marginal likelihood of a sequence under Beta(1/2, 1/2): B(zeros + 1/2, ones + 1/2)/B(1/2, 1/2)."""
    return (math.lgamma(zeros + 0.5) + math.lgamma(ones + 0.5) - math.lgamma(zeros + ones + 1) - math.log(math.pi)) / math.log(2)


@pytest.mark.parametrize("n, ones", [(1, 0), (200, 0), (200, 1), (5000, 2500), (20_000, 300), (20_000, 20_000)])
def test_the_code_is_as_long_as_the_evidence_says(n, ones):
    """Of one choice in one context, the symbol of numbers that are all there, its length is -log2 p(sequence), within two bytes."""
    code = np.ones((n, 1), np.uint64)
    code[np.random.default_rng(n).permutation(n)[:ones]] = 2
    out = np.zeros(n + 64, np.uint8)
    length = kernels.encode(code, np.zeros_like(code), 1, 0, out)
    every = np.zeros(out.size, np.uint8)
    flags = kernels.encode(np.ones_like(code), np.zeros_like(code), 0, 0, every)  # that they are all there: a few bytes
    wanted = -log2_marginal(n - ones, ones) / 8
    assert -3 <= length - flags - wanted <= 3
    assert wanted <= (n * entropy(ones / n) + 0.5 * math.log2(n) + 1) / 8  # Krichevsky and Trofimov's bound


def entropy(share):
    return -sum(p * math.log2(p) for p in (share, 1 - share) if p)


def test_what_it_takes():
    """A few values in a sparse matrix: below the entropy where rows and columns differ; noise costs its exponents' entropy."""
    rng = np.random.default_rng(0)
    rows, columns = rng.random((300, 1)) < 0.3, rng.random(400) < 0.3
    a = np.where(rows & columns & (rng.random((300, 400)) < 0.4), rng.integers(1, 9, (300, 400)), 0).astype("f4")
    share, left = (a != 0).mean(), (a != 0).sum()
    bound = (a.size * entropy(share) + 3 * left) / 8
    assert back([a]) < 0.7 * bound
    assert back([np.zeros((300, 400), "f4")]) == 120_000 // packing.PER_BYTE + 1  # padded
    dense = rng.standard_normal((100, 100)).astype("f4")
    assert back([dense]) < 0.85 * dense.nbytes


# ------------------------------------------------------------------------------------------------------------- files

def model(dtype=np.float32):
    net = nn.Network((6, 6, 1), c=nn.Conv2d(1, 3, 3, noise=nn.Bernoulli(0.7)), p=nn.MaxPool2d(2), f=nn.Flatten(),
                     d=nn.Dense(12, 4, noise=nn.MeanField(0.1)))
    params = net.init(1, dtype)
    params["d"]["M"][np.abs(params["d"]["M"]) < 0.2] = 0
    return mb.BayesianNetwork(net, bayes.LogUniform(), params=params)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "small.npz"
    model().save(path, compact=True)
    return path


def assert_equal(a, b):
    assert dict(a.net.layers) == dict(b.net.layers) and a.net.input_shape == b.net.input_shape
    assert (a.prior, a.likelihood) == (b.prior, b.likelihood)
    assert {n: {p: (v.dtype, v.tobytes()) for p, v in g.items()} for n, g in a.params.items()} == {
        n: {p: (v.dtype, v.tobytes()) for p, v in g.items()} for n, g in b.params.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_compact_file_is_the_same_model(dtype, tmp_path):
    before = model(dtype)
    before.save(tmp_path / "plain.npz")
    before.save(tmp_path / "small.npz", compact=True)
    assert_equal(before, mb.load(tmp_path / "small.npz"))
    assert (tmp_path / "small.npz").stat().st_size < 0.5 * (tmp_path / "plain.npz").stat().st_size
    x = np.random.default_rng(0).standard_normal((3, 6, 6, 1))
    a, b = (m.predict(x, samples=3) for m in (before, mb.load(tmp_path / "small.npz")))
    assert a.mean.tobytes() == b.mean.tobytes()
    with pytest.raises(mb.InputError, match="compact must be"):
        before.save(tmp_path / "no.npz", compact="yes")
    assert not (tmp_path / "no.npz").exists()


def test_parameters_in_another_order(tmp_path):
    first = model()
    turned = {name: dict(reversed(group.items())) for name, group in reversed(first.params.items())}
    mb.BayesianNetwork(first.net, first.prior, params=turned).save(tmp_path / "m.npz", compact=True)
    assert_equal(first, mb.load(tmp_path / "m.npz"))


def refused(path):
    with pytest.raises(storage.FileError) as caught:
        mb.load(path)
    message = str(caught.value)
    assert path.name in message and "\n" not in message
    return message


def test_every_truncation_and_every_damaged_byte(saved):
    """As of other files: an error, or in a date or an attribute the same model."""
    good, whole = mb.load(saved), bytearray(saved.read_bytes())
    for cut in range(0, len(whole), 3):
        saved.write_bytes(whole[:cut])
        refused(saved)
    for at in range(0, len(whole), 2):
        whole[at] ^= 0x21
        saved.write_bytes(whole)
        whole[at] ^= 0x21
        try:
            assert_equal(good, mb.load(saved))
        except storage.FileError as error:
            assert saved.name in str(error)


def parts(path):
    with zipfile.ZipFile(path) as archive:
        text, body = storage.compact_parts(archive)
    return json.loads(text), body


def rebuild(path, header, body, length=None):
    text = header if isinstance(header, bytes) else zlib.compress(json.dumps(header).encode())
    data = packing.number(len(text) if length is None else length) + text + body
    buffer = io.BytesIO()
    np.savez(buffer, compact=np.frombuffer(data, np.uint8))
    path.write_bytes(buffer.getvalue())


def test_hostile_compact_files(saved):
    header, body = parts(saved)
    rebuild(saved, header, body)
    mb.load(saved)  # what follows is wrong for what is changed alone

    def says(what, *args, **options):
        rebuild(saved, *args, **options)
        assert what in (message := refused(saved)), message

    says("too few", header, b"")
    says("left over", header, body + b"x")
    says("left over", header, body + bytes(3))
    says("goes beyond the end", header, body[:-4])
    says("no end", zlib.compress(b"[" * 20 * 2**20), body)  # 20 MB in a few bytes
    says("no end", header, body, length=5)
    says("more than five bytes", header, body, length=2**40)
    says("kind 200", header, b"\xc8" + body[1:])
    says("kind 12", header, b"\x0c" + body[1:])
    for changes in ({"n_in": 10**9, "n_out": 10**9}, {"n_in": 13}):
        other = json.loads(json.dumps(header))
        other["network"]["layers"][3].update(changes)
        other["network"]["input_shape"] = [6, 6, 1]
        rebuild(saved, other, body)
        refused(saved)
    layer = header["network"]["layers"][3] | {"n_in": 10**9, "n_out": 10**9, "noise": {"class": "Delta"}, "place": {"class": "Inputs"}}
    huge = {"input_shape": [10**9], "layers": [layer]}
    says("bytes are too few for", header | {"network": huge, "prior": {"class": "Prior", "lengthscale": 1.0}}, body)
    says("dtype", header | {"dtype": "O"}, body)


def test_bytes_of_any_kind_are_arrays_or_an_error():
    """The decoder reads nothing but its own bytes, whatever they are."""
    rng = np.random.default_rng(0)
    good = packing.pack([np.where(rng.random((8, 9)) < 0.5, rng.integers(1, 5, (8, 9)), 0).astype("f4")])
    kept = 0
    for _ in range(500):
        data = bytearray(good)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        try:
            kept += packing.unpack(bytes(data), [(8, 9)], "float32")[0].shape == (8, 9)
        except (ValueError, IndexError):
            pass
    assert 0 < kept < 500


def test_what_is_not_finite_is_refused(saved):
    header, body = parts(saved)
    arrays = [a.copy() for g in model().params.values() for a in g.values()]
    arrays[0].flat[0] = np.nan
    rebuild(saved, header, packing.pack(arrays))
    assert "NaN" in refused(saved)


def test_a_dense_model_is_saved_compact_too(tmp_path):
    dense = mb.BayesianNetwork(models.mlp([20, 30, 5]), params=models.mlp([20, 30, 5]).init(0))
    dense.save(tmp_path / "m.npz", compact=True)
    assert_equal(dense, mb.load(tmp_path / "m.npz"))
    assert (tmp_path / "m.npz").stat().st_size < 0.95 * 4 * 785 + 700
