"""The confidence interval of a proportion."""

import math
from statistics import NormalDist


def wilson(hits: int, total: int, alpha: float = 0.05) -> tuple[float, float]:
    """Return the interval that contains the probability of a hit with confidence 1 - `alpha`, both bounds in [0, 1].

    `hits` is in [0, `total`], `total` is at least 1, and `alpha` is in (0, 1). Source: Wilson 1927,
    doi:10.1080/01621459.1927.10502953.
    """
    z, share = NormalDist().inv_cdf(1 - alpha / 2), hits / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)
