"""Scores and shares, as people read them."""


def score_text(score: float) -> str:
    """Return a score with two decimals, rounded down, so that a score below its threshold is not shown as the threshold.

    Examples
    --------
    >>> score_text(0.5999), score_text(0.57)
    ('0.59', '0.57')
    """
    hundredths = round(score * 100, 6)  # 0.57 * 100 is 56.99999999999999
    return f"{int(hundredths) / 100:.2f}"


def percent_text(share: float) -> str:
    """Return a share in whole per cent, with the space of the documentation: "80 %"."""
    return f"{100 * share:.0f} %"
