"""Find a ball that contains an ellipsoid, by the S-procedure, for many ellipsoids at a time.

Let d be the ellipsoid's centre minus the ball's, s_k its semi-axes and d_k the part of d along
s_k. All points `d + A u`, |u| <= 1, lie within S of 0 if and only if for some lambda > max s_k^2

    lambda + sum_k lambda d_k^2 / (lambda - s_k^2) <= S^2.

For an image with a rest, S is the ball's radius minus the length of the rest.
"""

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.real_proof.enclosure import Images

NEAREST = 8  # balls tried for each ellipsoid
SHARES = np.array([0.05, 0.15, 0.35, 0.65, 0.9])  # values tried for lambda: 0 is s^2, 1 is S^2
CERTAIN = 1 - 1e-6  # leaves room for the rounding of lambda and the centre in the certificate


def nearest_that_contain(
    seen: Float[np.ndarray, "images hidden"],
    images: Images,
    balls: Float[np.ndarray, "balls hidden"],
    radii: Float[np.ndarray, " balls"],
) -> tuple[Int64[np.ndarray, " images"], Float[np.ndarray, " images"]]:
    """For each image a ball that contains it, or -1; and lambda over the ball's squared radius.

    The images are of one class. `seen` has their centres and `balls` those of the balls, in the
    coordinates of the metric (L c).
    """
    square = (seen**2).sum(axis=1)[:, np.newaxis] + (balls**2).sum(axis=1)
    away = (square - 2 * seen @ balls.T) / radii**2
    few = min(NEAREST, len(balls))
    nearest = np.argpartition(away, few - 1, axis=1)[:, :few]
    d = seen[:, np.newaxis] - balls[nearest]
    along = ((d @ images.directions) ** 2)[:, :, np.newaxis]
    s2 = images.axes[:, np.newaxis, np.newaxis]
    top = s2[..., -1]
    inner = np.maximum(radii[nearest] - images.rest[:, np.newaxis], 0) ** 2 * CERTAIN
    inner = inner[..., np.newaxis]
    lam = top + SHARES * np.maximum(inner - top, np.finfo(float).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):  # only where the ball is too small
        needed = lam + (along * lam[..., np.newaxis] / (lam[..., np.newaxis] - s2)).sum(axis=3)
    fits = ((needed <= inner) & (inner > top)).reshape(len(seen), -1)
    rows, first = np.arange(len(seen)), fits.argmax(axis=1)
    ball, which = np.divmod(first, len(SHARES))
    chosen = nearest[rows, ball]
    share = lam[rows, ball, which] / radii[chosen] ** 2
    return np.where(fits[rows, first], chosen, -1), share
