"""Model files and checkpoints: exact, atomic, and whatever is wrong with a file is one FileError that names it and runs nothing."""

import contextlib
import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minibayes as mb
from minibayes import bayes, models, nn, storage

DROP = nn.Bernoulli(0.7)


def model(net, seed=0, dtype=np.float32, **parts):
    params = net.init(seed, dtype)
    for group in params.values():
        group["b"] += np.linspace(-1, 1, group["b"].size, dtype=dtype)
    return mb.BayesianNetwork(net, params=params, **parts)


MODELS = {
    "dense": lambda: model(models.mlp([3, 5, 2], noise=DROP, input_noise=nn.Bernoulli(0.9))),
    "regression, one prior per layer, float64": lambda: model(
        models.mlp([2, 4, 3], noise=nn.Gaussian(0.3), activation="tanh"), dtype=np.float64, likelihood=bayes.Gaussian(tau=2.5),
        prior=bayes.Prior({"fc1": 0.1, "fc2": 3.0})),
    "conv": lambda: model(nn.Network(
        (9, 8, 2), c=nn.Conv2d(2, 3, 3, stride=2, padding=1, noise=nn.Gaussian(), noise_per="kernel", init_scheme="he"), t=nn.Tanh(),
        p=nn.MaxPool2d(2, 1), f=nn.Flatten(), d=nn.Dense(36, 4, noise=DROP)), prior=bayes.Prior(0.01)),
    "conv without input shape": lambda: model(nn.Network(
        c=nn.Conv2d(1, 2, 3, noise=DROP), p=nn.MaxPool2d(2), f=nn.Flatten(), d=nn.Dense(18, 2, noise=nn.Delta()))),
}
SHAPES = {"dense": (3,), "regression, one prior per layer, float64": (2,), "conv": (9, 8, 2), "conv without input shape": (8, 8, 1)}


def assert_equal(a, b):
    """Two models that are the same, to the bit."""
    assert dict(a.net.layers) == dict(b.net.layers) and list(a.net.layers) == list(b.net.layers)
    assert (a.net.input_shape, a.prior, a.likelihood) == (b.net.input_shape, b.prior, b.likelihood)
    assert {n: list(g) for n, g in a.params.items()} == {n: list(g) for n, g in b.params.items()}
    for name, group in a.params.items():
        for param, array in group.items():
            assert array.dtype == b.params[name][param].dtype and array.tobytes() == b.params[name][param].tobytes()


def refused(path, call=mb.load):
    """The message of the one error that `call` must raise for `path`."""
    with pytest.raises(storage.FileError) as caught:
        call(path)
    assert type(caught.value) is storage.FileError and isinstance(caught.value, mb.InputError)
    message = str(caught.value)
    assert Path(path).name in message and "\n" not in message and len(message) > len(str(path)) + 10
    return message


@pytest.fixture
def saved(tmp_path):
    """A small model file."""
    path = tmp_path / "small-model.npz"
    MODELS["dense"]().save(path)
    return path


# ------------------------------------------------------------------------------------------------------ save and load

@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_is_the_saved_one(name, tmp_path):
    before, path = MODELS[name](), tmp_path / "model.npz"
    before.save(path)
    after = mb.load(str(path))
    assert_equal(before, after)
    x = np.random.default_rng(0).standard_normal((5, *SHAPES[name]))
    for rule in ("mc", "weight-averaging"):
        a, b = (m.predict(x, rule=rule, samples=4, seed=2, keep_samples=True) for m in (before, after))
        assert a.samples.tobytes() == b.samples.tobytes() and a.mean.tobytes() == b.mean.tobytes()
    assert before.kl() == after.kl()
    again = tmp_path / "again.npz"
    after.save(again)
    assert_equal(before, mb.load(again))


NOISES = st.one_of(st.just(nn.Delta()), st.floats(1e-6, 1).map(nn.Bernoulli), st.floats(1e-6, 1e6).map(nn.Gaussian))
POSITIVE = st.floats(1e-300, 1e300)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(noise=NOISES, per=st.sampled_from(["patch", "kernel"]), stride=st.integers(1, 3), padding=st.integers(0, 2),
       kernel=st.integers(1, 4), height=st.integers(4, 9), dtype=st.sampled_from([np.float32, np.float64]), tau=POSITIVE,
       lengthscale=POSITIVE, each=st.booleans(), seed=st.integers(0, 99))
def test_any_settings_survive(tmp_path_factory, noise, per, stride, padding, kernel, height, dtype, tau, lengthscale, each, seed):
    conv = nn.Conv2d(2, 3, kernel, stride=stride, padding=padding, noise=noise, noise_per=per)
    shape = conv.output_shape((height, 6, 2))
    net = nn.Network((height, 6, 2), **{"größe": conv, "flat": nn.Flatten(), "file": nn.Dense(int(np.prod(shape)), 2, noise=noise)})
    prior = bayes.Prior({"größe": lengthscale, "file": 1.0} if each else lengthscale)
    before = model(net, seed, dtype, prior=prior, likelihood=bayes.Gaussian(tau))
    path = tmp_path_factory.mktemp("any") / "m.npz"
    before.save(path)
    assert_equal(before, mb.load(path))


def test_settings_may_be_numpy_numbers(tmp_path):
    """Dense(x.shape[1], y.max() + 1) has NumPy integers in it; a prior's mapping need not be a dict."""
    net = nn.Network(a=nn.Dense(np.int64(3), np.int32(2), noise=nn.Bernoulli(np.float32(0.3))))
    before = model(net, prior=bayes.Prior(MappingProxyType({"a": np.float64(2)})))
    before.save(tmp_path / "m.npz")
    after = mb.load(tmp_path / "m.npz")
    assert after.net.layers["a"] == nn.Dense(3, 2, noise=nn.Bernoulli(float(np.float32(0.3))))
    assert after.prior.of("a") == 2.0
    x = np.ones((4, 3))
    assert before.predict(x, samples=9).mean.tobytes() == after.predict(x, samples=9).mean.tobytes()


def test_column_major_parameters(tmp_path):
    params = models.mlp([3, 4, 2]).init(0)
    params["fc1"]["M"] = np.asfortranarray(params["fc1"]["M"])
    before = mb.BayesianNetwork(models.mlp([3, 4, 2]), params=params)
    before.save(tmp_path / "m.npz")
    assert_equal(before, mb.load(tmp_path / "m.npz"))


def test_saving_changes_nothing_and_shares_nothing(saved, tmp_path):
    before = mb.load(saved)
    copy = mb.load(saved)
    before.save(tmp_path / "other.npz")
    assert_equal(before, copy)
    for group in before.params.values():
        for array in group.values():
            assert array.flags.writeable
            array += 1
    assert_equal(copy, mb.load(saved))


@pytest.mark.skipif(os.name != "posix", reason="permissions as on POSIX")
def test_a_file_has_the_permissions_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    MODELS["dense"]().save(tmp_path / "m.npz")
    assert (tmp_path / "m.npz").stat().st_mode == plain.stat().st_mode


# ---------------------------------------------------------------------------------------------------- whole or not at all

@pytest.mark.parametrize("where", ["np.savez", "os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()],
                         ids=lambda e: type(e).__name__)
def test_a_failed_write_leaves_the_old_file(saved, monkeypatch, where, error):
    old = saved.read_bytes()

    def fail(file, *args, **kwargs):
        if where == "np.savez":
            file.write(b"PK\x03\x04half")
            file.flush()
        raise error

    module, name = where.split(".")
    monkeypatch.setattr({"np": np, "os": os}[module], name, fail)
    other = model(models.mlp([3, 5, 2]), seed=9)
    with pytest.raises(storage.FileError if isinstance(error, OSError) else type(error)) as caught:
        other.save(saved)
    if isinstance(error, OSError):
        assert saved.name in str(caught.value) and "No space left" in str(caught.value)
    monkeypatch.undo()
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved], "no temporary file is left"
    other.save(saved)
    assert_equal(mb.load(saved), other)


def test_paths_that_cannot_be_written(saved, tmp_path):
    for path in (tmp_path / "no" / "m.npz", saved / "m.npz", "a\0b/m.npz"):
        with pytest.raises(mb.InputError, match="existing folder|path of a file|must be the path"):
            mb.load(saved).save(path)
    for path in (tmp_path, tmp_path / ("long" * 100)):
        refused(path, mb.load(saved).save)
    assert list(tmp_path.iterdir()) == [saved]


# ------------------------------------------------------------------------------------------------------------ other files

def test_files_that_are_none(tmp_path):
    assert "no such file" in refused(tmp_path / "missing.npz")
    assert "folder" in refused(tmp_path)
    (tmp_path / "below").touch()
    refused(tmp_path / "below" / "model.npz")
    for name, content in {"empty.npz": b"", "text.npz": b"hello\n" * 100, "zeros.npz": bytes(5000), "end.npz": b"PK\x05\x06" + bytes(18),
                          "array.npy": b"\x93NUMPY\x01\x00", "pickle.npz": pickle.dumps({"a": 1})}.items():
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name)


def test_foreign_archives(tmp_path):
    path = tmp_path / "foreign.npz"
    np.savez(path, a=np.arange(3))
    assert "header" in refused(path)
    np.savez(path, header=np.arange(3))
    refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", b"no array")
    refused(path)


@pytest.mark.parametrize("what", ["model", pytest.param("checkpoint", marks=pytest.mark.slow)])
def test_every_truncation_is_refused(what, saved):
    """Cut after every single byte: inside each local header, name, array, CRC, directory entry, and the end record."""
    fit = checkpointed(saved, what)
    whole = saved.read_bytes()
    cuts = range(len(whole)) if what == "model" else np.linspace(0, len(whole) - 1, 150, dtype=int)
    for cut in cuts:
        saved.write_bytes(whole[:cut])
        refused(saved, fit)
    saved.write_bytes(whole)
    fit(saved)


@pytest.mark.parametrize("mask", [0x01, *(pytest.param(mask, marks=pytest.mark.slow) for mask in (0x20, 0xFF))])
def test_one_damaged_byte_anywhere(saved, mask):
    """Each byte of the file in turn: an error, or (in a date, an attribute) a model that is equal to the bit."""
    good, whole = mb.load(saved), bytearray(saved.read_bytes())
    content = set()  # where the header and the arrays are
    with zipfile.ZipFile(saved) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + sum(struct.unpack_from("<HH", whole, info.header_offset + 26))
            content |= set(range(start, start + info.file_size))
    assert len(content) > 0.5 * len(whole)
    for position in range(len(whole)):
        whole[position] ^= mask
        saved.write_bytes(whole)
        whole[position] ^= mask
        try:
            again = mb.load(saved)
        except storage.FileError as error:
            assert saved.name in str(error)
        else:
            assert position not in content
            assert_equal(good, again)


def test_damage_of_many_bytes(saved):
    """Pieces overwritten, doubled and cut out at random."""
    rng = np.random.default_rng(0)
    good, whole = mb.load(saved), saved.read_bytes()
    for _ in range(400):
        a, b, c = sorted(rng.integers(0, len(whole), 3))
        first, second, third, last = whole[:a], whole[a:b], whole[b:c], whole[c:]
        damaged = [[first, rng.bytes(b - a), third, last], [first, second, second, third, last], [first, third, last],
                   [first, third, second, last]][rng.integers(4)]
        saved.write_bytes(b"".join(damaged))
        with contextlib.suppress(storage.FileError):
            assert_equal(good, mb.load(saved))


def checkpointed(path, what="checkpoint"):
    """The function that reads `path`: mb.load, or (after writing a checkpoint there) a fit that resumes from it."""
    if what == "model":
        return mb.load
    x, y = np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2

    def fit(path, epochs=2):
        m = mb.BayesianNetwork(models.mlp([3, 4, 2]))
        m.fit(x, y, epochs=epochs, batch_size=8, optimizer=nn.Adam(0.01), checkpoint=path)
        return m

    path.unlink(missing_ok=True)
    fit(path)
    return fit


# -------------------------------------------------------------------------------------------------------- hostile archives

def members(path):
    with np.load(path) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("header").tobytes()), arrays


def rebuild(path, header, arrays, save=np.savez):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "wb") as file:
        save(file, header=np.frombuffer(text, np.uint8), **arrays)


FIRED = []


def payload():
    FIRED.append(1)
    return 0.0


class Bomb:
    def __reduce__(self):
        return payload, ()


@pytest.mark.parametrize("target", ["params/fc1/M", "params/fc2/b", "header"])
def test_pickles_do_not_run(saved, target):
    header, arrays = members(saved)
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    bombs = np.empty(arrays[target].shape, object)
    bombs[...] = Bomb()
    arrays[target] = bombs
    with open(saved, "wb") as file:
        np.savez(file, **arrays)
    FIRED.clear()
    refused(saved)
    assert not FIRED
    with np.load(saved, allow_pickle=True) as archive:
        archive[target]
    assert FIRED, "the payload does run where pickles are allowed"


def dense(name="fc1", **changes):
    layer = {"name": name, "class": "Dense", "n_in": 3, "n_out": 5, "noise": {"class": "Delta"}, "init_scheme": "xavier"} | changes
    return {k: v for k, v in layer.items() if v is not Ellipsis}


def first_layer(**changes):
    def edit(header):
        header["network"]["layers"][0] = dense(**changes)
    return edit


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def edit(header):
        for key in keys:
            header = header[key]
        if value is Ellipsis:
            del header[last]
        else:
            header[last] = value
    return edit


BAD_HEADERS = {
    **{f"without {key}": (put(key, ...), key) for key in ("format", "version", "kind", "dtype", "network", "prior", "likelihood")},
    **{f"network without {key}": (put("network", key, ...), key) for key in ("layers", "input_shape")},
    **{f"layer without {key}": (first_layer(**{key: ...}), key) for key in ("class", "n_in", "n_out", "noise", "init_scheme")},
    "layer without name": (put("network", "layers", 0, "name", ...), "name"),
    "another format": (put("format", "keras"), "keras"),
    "a format that is no text": (put("format", ["minibayes"]), "format"),
    "a future version": (put("version", 2), "version.*2"),
    "version 0": (put("version", 0), "version"),
    "version as text": (put("version", "1"), "version"),
    "another kind": (put("kind", "optimizer"), "optimizer"),
    "kind a list": (put("kind", []), "kind"),
    "dtype float16": (put("dtype", "float16"), "float16"),
    "dtype object": (put("dtype", "O"), "dtype"),
    "dtype a list": (put("dtype", ["float32"]), "dtype"),
    "dtype float64 but float32 inside": (put("dtype", "float64"), "fc1/M must be float64"),
    "network null": (put("network", None), ""),
    "layers a number": (put("network", "layers", 7), ""),
    "layers a text": (put("network", "layers", "Dense"), ""),
    "layers empty": (put("network", "layers", []), ""),
    "layers of lists": (put("network", "layers", [[]]), ""),
    "too many layers": (put("network", "layers", [dense(f"l{i}") for i in range(20_000)]), "20000 layers"),
    "unknown layer class": (first_layer(**{"class": "System"}), "System"),
    "layer class of the package": (first_layer(**{"class": "Network"}), "Network"),
    "layer class a noise": (first_layer(**{"class": "Bernoulli"}), "Bernoulli"),
    "layer class dunder": (first_layer(**{"class": "__init__"}), "__init__"),
    "layer class a list": (first_layer(**{"class": ["Dense"]}), ""),
    "unknown layer field": (first_layer(code="print(1)"), "code"),
    "private layer field": (first_layer(__class__="Dense"), "__class__"),
    "same name twice": (put("network", "layers", [dense(), dense(n_in=5)]), "fc1.*twice"),
    "name not a text": (first_layer(name=3), "name"),
    "name null": (first_layer(name=None), "name"),
    "layers that do not fit": (first_layer(n_out=4), "fc2"),
    "negative size": (first_layer(n_in=-3), "n_in"),
    "size zero": (first_layer(n_in=0), "n_in"),
    "size 3.0": (first_layer(n_in=3.0), "n_in"),
    "size true": (first_layer(n_in=True), "n_in"),
    "size text": (first_layer(n_in="3"), "n_in"),
    "size other than the array's": (put("network", {"input_shape": [4], "layers": [dense(n_in=4)]}), "fc1/M"),
    "unknown init": (first_layer(init_scheme="zeros"), "init_scheme"),
    "noise null": (first_layer(noise=None), ""),
    "noise text": (first_layer(noise="Delta"), ""),
    "noise of unknown class": (first_layer(noise={"class": "Laplace"}), "Laplace"),
    "noise a layer": (first_layer(noise={"class": "ReLU"}), "ReLU"),
    "noise within noise": (first_layer(noise={"class": "Delta", "noise": {"class": "Delta"}}), ""),
    **{f"keep {value}": (first_layer(noise={"class": "Bernoulli", "keep": value}), "keep")
       for value in (0, -0.5, 1.5, float("nan"), float("inf"), "a", None, True, [0.5], 10**400)},
    **{f"variance {value}": (first_layer(noise={"class": "Gaussian", "variance": value}), "variance")
       for value in (0, -1, float("nan"), float("-inf"), 10**400)},
    "bernoulli without keep": (first_layer(noise={"class": "Bernoulli"}), "keep"),
    "input shape text": (put("network", "input_shape", "3"), "input_shape"),
    "input shape negative": (put("network", "input_shape", [-3]), "input_shape"),
    "input shape a number": (put("network", "input_shape", 3), ""),
    "input shape of another net": (put("network", "input_shape", [28, 28, 1]), "fc1"),
    "input shape empty": (put("network", "input_shape", []), "fc1"),
    "input shape huge": (put("network", "input_shape", [10**400]), "fc1"),
    "prior null": (put("prior", None), ""),
    "prior of another class": (put("prior", {"class": "Categorical"}), "Categorical"),
    "lengthscale 0": (put("prior", "lengthscale", 0), "lengthscale"),
    "lengthscale NaN": (put("prior", "lengthscale", float("nan")), "lengthscale"),
    "lengthscale a list": (put("prior", "lengthscale", [1.0]), "lengthscale"),
    "no lengthscale": (put("prior", {"class": "Prior"}), "lengthscale"),
    "lengthscale of one layer only": (put("prior", "lengthscale", {"fc1": 1.0}), "fc2"),
    "unknown likelihood": (put("likelihood", {"class": "Unheard"}), "Unheard"),
    "likelihood a noise": (put("likelihood", {"class": "Gaussian", "variance": 1.0}), "tau"),
    "tau -1": (put("likelihood", {"class": "Gaussian", "tau": -1}), "tau"),
    "tau NaN": (put("likelihood", {"class": "Gaussian", "tau": float("nan")}), "tau"),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_bad_headers(name, saved):
    edit, says = BAD_HEADERS[name]
    header, arrays = members(saved)
    edit(header)
    rebuild(saved, header, arrays)
    message = refused(saved)
    assert says.split(".*")[0] in message and says.split(".*")[-1] in message


def test_rebuilding_alone_breaks_nothing(saved):
    """The table above edits a header that would load if it were not edited."""
    good = mb.load(saved)
    rebuild(saved, *members(saved))
    assert_equal(good, mb.load(saved))
    header, arrays = members(saved)
    first_layer(noise={"class": "Bernoulli", "keep": 0.25})(header)
    rebuild(saved, header, arrays)
    assert mb.load(saved).net.layers["fc1"].noise == nn.Bernoulli(0.25)


TEXTS = {"list": b"[]", "number": b"1", "null": b"null", "text": b'"minibayes"', "empty": b" ", "no JSON": b"{",
         "not UTF-8": b"\xff\xfe\xfa", "deep list": b"[" * 200_000, "deep dict": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
         "a number of a million digits": b"9" * 10**6, "nothing": b"{}", "nulls": bytes(100)}


@pytest.mark.parametrize("name", TEXTS)
def test_headers_that_are_no_record(name, saved):
    rebuild(saved, TEXTS[name], members(saved)[1])
    refused(saved)


def test_a_deep_network_record(saved):
    header, arrays = members(saved)
    noise = '{"class":"Bernoulli","keep":' * 50_000 + "1" + "}" * 50_000
    text = json.dumps(header).replace('{"class": "Bernoulli", "keep": 0.9}', noise)
    assert noise in text
    rebuild(saved, text.encode(), arrays)
    refused(saved)


@pytest.mark.parametrize("array", [np.zeros((2, 9), np.uint8), np.zeros(9, np.float32), np.array(7, np.uint8), np.zeros(0, np.uint8),
                                   np.array(["{}"]), np.zeros(2, [("a", "u1")])], ids=lambda a: f"{a.dtype}{a.shape}")
def test_headers_of_another_type(array, saved):
    arrays = members(saved)[1]
    with open(saved, "wb") as file:
        np.savez(file, header=array, **arrays)
    refused(saved)


def test_a_giant_header_is_not_read(saved):
    header, arrays = members(saved)
    rebuild(saved, json.dumps(header).encode() + b" " * 20 * 2**20, arrays)
    assert "header has" in with_limits(saved)


def with_limits(path, megabytes=2, seconds=2.0):
    """Refused, in little memory and time."""
    tracemalloc.start()
    try:
        began = time.process_time()  # the machine may be busy with something else
        message = refused(path)
        assert time.process_time() - began < seconds
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()
    return message


HUGE = 10**9


@pytest.mark.parametrize("lie", ["in the header", "in the array too", "in the directory too"])
def test_huge_shapes_fail_at_once(saved, lie):
    header, arrays = members(saved)
    header["network"] = {"input_shape": [HUGE], "layers": [dense(n_in=HUGE, n_out=HUGE)]}
    if lie == "in the header":
        rebuild(saved, header, arrays)
        assert "fc1/M" in with_limits(saved)
        return
    text = json.dumps(header).encode()
    npy = npy_header({"descr": "<f4", "fortran_order": False, "shape": (HUGE, HUGE)})
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("header.npy", npy_header({"descr": "|u1", "fortran_order": False, "shape": (len(text),)}) + text)
        archive.writestr("params/fc1/M.npy", npy + bytes(100))
        if lie == "in the directory too":
            info = archive.getinfo("params/fc1/M.npy")
            info.file_size = info.compress_size = len(npy) + 4 * HUGE**2
    assert "fc1/M" in with_limits(saved)


def test_a_huge_convolution_and_a_long_search_for_its_image_size(saved):
    header, arrays = members(saved)
    conv = {"name": "c", "class": "Conv2d", "c_in": 10**18, "c_out": 10**18, "kernel": 1, "stride": 1, "padding": 0,
            "noise": {"class": "Delta"}, "noise_per": "patch", "init_scheme": "xavier"}
    relus = [{"name": f"r{i}", "class": "ReLU"} for i in range(2000)]
    header["network"] = {"input_shape": None, "layers": [conv, *relus, {"name": "f", "class": "Flatten"}, dense(n_in=7)]}
    rebuild(saved, header, arrays)
    with_limits(saved, megabytes=20, seconds=10)


def npy_header(fields, version=(1, 0)):
    text = fields if isinstance(fields, bytes) else repr(fields).encode()
    text += b" " * (63 - (10 + len(text)) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + (struct.pack("<H", len(text)) if version == (1, 0) else struct.pack("<I", len(text))) + text


def test_compressed_archives(saved):
    header, arrays = members(saved)
    rebuild(saved, header, arrays, np.savez_compressed)
    assert "compressed" in refused(saved)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_in_one_member(saved, method):
    """Megabytes of zeros in a few kilobytes are not unpacked."""
    header, arrays = members(saved)
    del arrays["params/fc1/M"]
    rebuild(saved, header, arrays)
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr("params/fc1/M.npy", bytes(5 * 2**20), compress_type=method)
    assert "compressed" in with_limits(saved)


def largest(value):
    return lambda a: np.where(a == a.max(), value, a).astype(a.dtype)


BAD_ARRAYS = {
    "transposed": (lambda a: np.ascontiguousarray(a.T), "shape"),
    "flat": (lambda a: a.reshape(-1), "shape"),
    "one row more": (lambda a: np.vstack([a, a[:1]]), "shape"),
    "one axis more": (lambda a: a[None], "shape"),
    "empty": (lambda a: a[:0], "shape"),
    "scalar": (lambda a: a[0, 0], "shape"),
    "float64": (lambda a: a.astype(np.float64), "float64"),
    "big-endian": (lambda a: a.astype(">f4"), "f4"),
    "integers": (lambda a: a.astype(np.int32), "int32"),
    "complex": (lambda a: a.astype(np.complex64), "complex64"),
    "text": (lambda a: a.astype(str), "U32"),
    "records": (lambda a: a.view([("a", "<f4")]), "'a'"),
    "column-major": (np.asfortranarray, "fc1/M"),
    "NaN": (largest(np.nan), "NaN"),
    "inf": (largest(np.inf), "inf"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(name, saved):
    change, says = BAD_ARRAYS[name]
    header, arrays = members(saved)
    arrays["params/fc1/M"] = change(arrays["params/fc1/M"])
    rebuild(saved, header, arrays)
    message = refused(saved)
    assert "params/fc1/M" in message and says in message


@pytest.mark.parametrize("name", ["params/fc1/M", "params/fc2/b"])
def test_a_missing_array(name, saved):
    header, arrays = members(saved)
    del arrays[name]
    rebuild(saved, header, arrays)
    assert name in refused(saved)


NPY = {"descr": "<f4", "fortran_order": False, "shape": (5, 3)}
RAW_MEMBERS = {
    "no npy": b"hello",
    "empty": b"",
    "magic only": b"\x93NUMPY",
    "npy version 2": npy_header(NPY, (2, 0)) + bytes(60),
    "npy version 9": npy_header(NPY, (9, 9)) + bytes(60),
    "too little data": npy_header(NPY) + bytes(59),
    "too much data": npy_header(NPY) + bytes(61),
    "header cut": npy_header(NPY)[:40],
    "header no dict": npy_header(b"[1, 2]") + bytes(60),
    "header no Python": npy_header(b"{'descr': '<f4") + bytes(60),
    "header a call": npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': test_storage.payload()}") + bytes(60),
    "header long": npy_header(b"{" + b" " * 30_000 + b"}") + bytes(60),
    "header deep": npy_header(b"(" * 9_000) + bytes(60),
    "header unary": npy_header(b"-" * 9_000 + b"1") + bytes(60),
    "header of Python 2": npy_header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (5L, 4L), }") + bytes(60),
    "negative shape": npy_header(NPY | {"shape": (-5, -3)}) + bytes(60),
    "unknown dtype": npy_header(NPY | {"descr": "<q99"}) + bytes(60),
    "object": npy_header(NPY | {"descr": "|O"}) + pickle.dumps(Bomb()),
}


@pytest.mark.parametrize("name", RAW_MEMBERS)
@pytest.mark.parametrize("target", ["params/fc1/M", "header"])
def test_raw_members(name, target, saved):
    header, arrays = members(saved)
    arrays.pop(target, None)
    with zipfile.ZipFile(saved, "w") as archive:
        for member, array in arrays.items():
            with archive.open(f"{member}.npy", "w") as file:
                np.save(file, array)
        if target != "header":
            with archive.open("header.npy", "w") as file:
                np.save(file, np.frombuffer(json.dumps(header).encode(), np.uint8))
        archive.writestr(f"{target}.npy", RAW_MEMBERS[name])
    FIRED.clear()
    refused(saved)
    assert not FIRED


def test_an_encrypted_member(saved):
    whole = bytearray(saved.read_bytes())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = whole.find(magic)
        while position >= 0:
            whole[position + offset] |= 1
            position = whole.find(magic, position + 4)
    saved.write_bytes(whole)
    assert "encrypted" in refused(saved)


# -------------------------------------------------------------------------------------------------------------- checkpoints

def test_a_checkpoint_loads_as_a_model(tmp_path):
    path = tmp_path / "run.ckpt"
    trained = checkpointed(path)(path)
    assert_equal(trained, mb.load(path))


BAD_PROGRESS = {
    "run null": put("run", None), "run a text": put("run", "x"), "no run": put("run", ...), "no progress": put("progress", ...),
    "progress a list": put("progress", []), **{f"no {key}": put("progress", key, ...) for key in ("step", "slots", "sums", "history")},
    **{f"step {value}": put("progress", "step", value) for value in (-1, 1.5, "3", None, True, float("inf"), [])},
    "sums too short": put("progress", "sums", [1.0, 2.0]), "sums too long": put("progress", "sums", [1.0, 2.0, 3, 4]),
    "sums of text": put("progress", "sums", ["a", 1.0, 2]), "sums NaN": put("progress", "sums", [float("nan"), 1.0, 2]),
    "sums inf": put("progress", "sums", [float("inf"), 1.0, 2]), "sums a number": put("progress", "sums", 3),
    "sums of -1 examples": put("progress", "sums", [1.0, 1.0, -1]), "sums beyond floats": put("progress", "sums", [10**400, 1.0, 2]),
    "history null": put("progress", "history", None), "history a dict": put("progress", "history", {"step": 1}),
    "history of numbers": put("progress", "history", [1, 2]), "history without steps": put("progress", "history", [{"epoch": 1}]),
    "slots of SGD": put("progress", "slots", ["v"]), "slots null": put("progress", "slots", None), "no slots": put("progress", "slots", []),
    "a slot more": put("progress", "slots", ["m", "s", "v"]),
}


@pytest.mark.parametrize("name", BAD_PROGRESS)
def test_bad_checkpoints(name, tmp_path):
    path = tmp_path / "run.npz"
    fit = checkpointed(path)
    header, arrays = members(path)
    BAD_PROGRESS[name](header)
    rebuild(path, header, arrays)
    before = path.read_bytes()
    refused(path, fit)
    assert path.read_bytes() == before


@pytest.mark.parametrize("change", ["missing", "NaN", "shape"])
def test_bad_optimizer_arrays(change, tmp_path):
    path = tmp_path / "run.npz"
    fit = checkpointed(path)
    header, arrays = members(path)
    if change == "missing":
        del arrays["optimizer/m/fc1/M"]
    else:
        arrays["optimizer/m/fc1/M"] = arrays["optimizer/m/fc1/M"] * np.float32(np.nan) if change == "NaN" else np.zeros(3, np.float32)
    rebuild(path, header, arrays)
    assert "optimizer/m/fc1/M" in refused(path, fit)


def test_pickles_in_a_checkpoint_do_not_run(tmp_path):
    path = tmp_path / "run.npz"
    fit = checkpointed(path)
    header, arrays = members(path)
    bombs = np.empty(arrays["optimizer/s/fc1/b"].shape, object)
    bombs[...] = Bomb()
    rebuild(path, header, arrays | {"optimizer/s/fc1/b": bombs})
    FIRED.clear()
    refused(path, fit)
    assert not FIRED
