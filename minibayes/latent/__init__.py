"""p(x) = int p(x | h) p(h) dh: codes, samples, bounds and completions from a network with a code; no labels.

    net = nn.Network(fc1=nn.Dense(784, 100), relu1=nn.ReLU(), law=nn.Dense(100, 2 * 32),
                     code=nn.Code(32), fc2=nn.Dense(32, 100), relu2=nn.ReLU(), out=nn.Dense(100, 784))
    model = mb.BayesianNetwork(net, likelihood=bayes.Bernoulli())
    model.fit(x, x, ...)

`fit` minimises E_q[-log p(x_n | h)] + KL(q(h_n | x_n) || p(h)) for each example (`bayes.codes`), beside the
KL of the weights; noise in the decoder's weights is q(omega) as anywhere, and is averaged over here too. The
history's nll is this sum, without the weights' KL. `fit(validation=)` scores what is given back, as
`predict` does, and not the bound: that is `latent.bound`.
"""

from .bounds import Bound, bound
from .chains import Completion, complete
from .sides import decoder, encode, sample
from .variances import Variances, variances

__all__ = ["Bound", "Completion", "Variances", "bound", "complete", "decoder", "encode", "sample",
           "variances"]
