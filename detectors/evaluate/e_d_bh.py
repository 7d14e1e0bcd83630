"""Many streams at once: which of them have changed, with the share of wrong ones held against the time waited for it.

A procedure that alarms at all ends up wrong on some stream, so no worst-case error rate below one is possible over unlimited
time. What can be held is error over patience: whenever one stops, the expected share of false discoveries is at most ``rate``
times the expected number of events until then (Dandapanthula and Ramdas, arXiv 2501.04130). e-d-BH, the e-Benjamini-Hochberg
procedure on e-detectors, does so whatever the dependence of the streams.
"""

from collections.abc import Mapping

__all__ = ["e_d_bh"]


def e_d_bh(statistics: Mapping[str, float], every: float) -> list[str]:
    """Return the streams that have changed, the strongest first; ties in the order of their names.

    Parameters
    ----------
    statistics
        By stream, its e-detector's value now: `Finding.statistic`, of a detector whose own limit is at least
        ``every * len(statistics)`` (bets are cut there).
    every
        The wrong share of what is returned is at most 1 in ``every`` events of waiting, in the unit of the statistics.

    Raises
    ------
    ValueError
        ``every`` is not above zero.

    Examples
    --------
    >>> e_d_bh({"a": 450.0, "b": 3.0, "c": 160.0, "d": 7.0}, every=100)
    ['a']
    >>> e_d_bh({"a": 450.0, "b": 3.0, "c": 210.0, "d": 7.0}, every=100)
    ['a', 'c']
    """
    if not every > 0:
        raise ValueError(f"a false discovery in {every} events: more than none is needed, such as 10000")
    ordered = sorted(statistics, key=lambda name: (-statistics[name], name))
    needed = every * len(ordered)
    enough = [rank for rank, name in enumerate(ordered, start=1) if statistics[name] * rank >= needed]
    return ordered[: max(enough, default=0)]
