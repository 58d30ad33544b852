# %% [markdown]
# # 3. The title
#
# **The poster's claim, in our words.** The number is the file's, without its zero; the first
# paragraph is the claim. Copy this file to begin a notebook `NN_name.py` and build it with
# `python notebooks/build.py NN`. (This file itself is not built.)
#
# What you will see here: one sentence.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from minibayes import nn

# quick mode does less of the same; every assert holds in both modes
QUICK = bool(os.environ.get("MINIBAYES_QUICK"))
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.grid": True,
                     "grid.alpha": 0.3})
BLUE, ORANGE = "#0072B2", "#E69F00"              # Okabe and Ito's palette

# %% [markdown]
# ## 3.1 A section
#
# Words and formulas, $W = M \mathrm{diag}(z)$, each symbol explained where it first appears.
# Formulas of their own go between empty lines:
#
# $$f_n = W_n x_n + b$$
#
# Web pages read markdown before they read LaTeX: write `\lvert`, `\lVert`, `\lt`, `\gt`,
# `\lbrace`, `\ast` for | ‖ < > { *. The code is plain NumPy once and the package once, and
# asserts that they agree. No warnings, no paths, no object addresses in the output. Lines have
# at most 96 columns: a web page cuts wider cells off.

# %%
z = nn.Bernoulli(keep=0.5).sample(nn.Key(0), (100 if QUICK else 1000, 1))
assert set(np.unique(z)) == {0, 1}

# %% [markdown]
# One cell is tagged `picture`: its first figure is also written to `pictures/NN_name.png`.
# Titles say the finding; axes have labels.

# %% tags=["picture"]
fig, ax = plt.subplots(figsize=(8, 3))
ax.hist(z.ravel(), bins=[-0.5, 0.5, 1.5], rwidth=0.9, color=BLUE)
ax.set(xlabel="z", ylabel="count", xticks=[0, 1], title=f"{z.mean():.0%} of the units are kept")
plt.show()

# %% [markdown]
# ## Exercises
#
# Three of them, each in a cell of its own and followed by its solution: cells tagged
# `solution`, words and code, with an assert. They run with the notebook, print text, draw no
# figure, and are folded into one closed cell.

# %% [markdown]
# ### Exercise 1
#
# What is the mean of z?

# %% [markdown] tags=["solution"]
# It is `keep`, up to the standard error of a mean.

# %% tags=["solution"]
assert abs(z.mean() - 0.5) < 4 * 0.5 / np.sqrt(z.size)
print(f"{z.mean():.3f}")
