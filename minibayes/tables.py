"""How a network, a model and a prediction show themselves: a table, as text and for a notebook."""

import html
import math
from typing import Any, NamedTuple

import numpy as np

FIRST = 3  # inputs of a prediction
CELLS = 2  # numbers of an input that has more


class Table(NamedTuple):
    """A title, columns under a header, and a last line; in a column with digits, cells stand to the right."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    closing: str = ""

    def __str__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        right = [any(row[i][:1].isdigit() for row in self.rows) for i in range(len(self.header))]
        body = ["  ".join(cell.rjust(width) if to_right else cell.ljust(width)
                          for cell, width, to_right in zip(line, widths, right, strict=True)).rstrip()
                for line in lines]
        rule = "-" * max(map(len, body))
        return "\n".join([self.title, body[0], rule, *body[1:], *[self.closing] * bool(self.closing)])

    def html(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        return (f"<div>{html.escape(self.title)}<table><thead>{line(self.header, 'th')}</thead><tbody>"
                f"{''.join(line(row, 'td') for row in self.rows)}</tbody></table>"
                f"{html.escape(self.closing)}</div>")


def shape_of(shape: tuple | None) -> str:
    return "?" if shape is None else " x ".join(map(str, shape))


def mega(count: int) -> str:
    return f"{count / 1e6:.3g}" if count >= 1000 else "< 0.001"


def network(net: Any, title: str = "") -> Table:
    """A row for each layer: what comes out, its noise and where that acts, its numbers and its arithmetic."""
    known = net.input_shape is not None
    shapes = net.shapes(net.input_shape) if known else {}
    counts = {name: sum(math.prod(shape) for shape in group.values())
              for name, group in net.param_shapes().items()}
    rows, total = [], 0
    for name, layer in net.layers.items():
        before, after = shapes.get(name, (None, None))
        flops = layer.flops(before) if known else 0
        total += flops
        noise, place = repr(layer.noise) if layer.noisy else "", ""
        if layer.noisy and layer.noisy_params:  # else the noise is of no weights, and of no place
            place = repr(layer.place).removesuffix("()")
        rows.append((name, type(layer).__name__, shape_of(after), noise, place,
                     f"{counts[name]:,}" if name in counts else "", mega(flops) if flops else ""))
    rows.append(("in all", "", "", "", "", f"{sum(counts.values()):,}", mega(total) if known else "?"))
    header = ("layer", "", "output", "noise", "acts on", "parameters", "MFLOP")
    inputs = f"inputs {shape_of(net.input_shape)}" if known else "inputs of any size that fits"
    return Table(title or f"{type(net).__name__}: {inputs}", header, rows)


def model(model: Any) -> Table:
    """Its network, under what it is read with."""
    state = "no parameters yet" if model.params is None else f"parameters {model.dtype}"
    read = f"prior {model.prior!r}, likelihood {model.likelihood!r}, {state}"
    return network(model.net, f"{type(model).__name__}: {read}")


def prediction(made: Any) -> Table:
    """What it holds, and of that what belongs to its first inputs."""
    arrays = {name: np.asarray(values) for name, values in vars(made).items()
              if not name.startswith("_") and np.shape(values)[:1] == (len(made.mean),)}
    arrays = {name: values for name, values in arrays.items() if values.dtype != bool}
    shown = range(min(FIRST, len(made.mean)))
    more = len(made.mean) - len(shown)
    header = ("", "shape", *(f"input {n}" for n in shown))
    rows = [(name, str(values.shape), *(cell(values[n]) for n in shown)) for name, values in arrays.items()]
    passes = f"{made.num_samples} pass" + "es" * (made.num_samples != 1)
    title = f"{type(made).__name__}: {len(made.mean):,} inputs by {made.rule}, {passes}"
    return Table(title, header, rows, f"and {more:,} more inputs" if more else "")


def cell(values: np.ndarray) -> str:
    """One number, or the first few of a row."""
    numbers = [f"{value:.3g}" for value in np.ravel(values)[:CELLS]]
    return " ".join(numbers) + (" ..." if np.size(values) > CELLS else "")
