"""What a stream detector's finding says of a change, in words: what changed, by how much, since when; never a text."""

from collections.abc import Mapping

from stream.stages.alert.number_format import moment

__all__ = ["changed"]

_TOPICS, _EMBEDDING = "topics", "embedding"


def changed(feature: str, details: Mapping[str, float]) -> str:
    """Return a clause for the summary of an alert, empty where the details say nothing of a change.

    Examples
    --------
    >>> changed("words", {"recent_mean": 40.0, "reference_mean": 8.0, "reference_deviation": 3.0, "direction": 1.0})
    'words larger: 8 ± 3 before, 40 of late'
    """
    since = f" since {moment(details['changed_at'])}" if details.get("changed_at") else ""
    if feature == _TOPICS and "topic_since" in details:
        return (
            f"topic {details['topic_since']:.0f} went from {details['topic_since_share_before']:.0%} of events to "
            f"{details['topic_since_share']:.0%}{since}"
        )
    if feature == _EMBEDDING and "share_since" in details:
        nearest = f", nearest topic now {details['topic_since']:.0f}" if "topic_since" in details else ""
        return (
            f"{details['share_since']:.0%} of events are further from the reference than {details['share_before']:.0%} "
            f"were before{nearest}{since}"
        )
    if "recent_mean" in details and "reference_mean" in details:
        way = {1.0: " larger", -1.0: " smaller"}.get(details.get("direction", 0.0), "")
        spread = f" ± {details['reference_deviation']:.3g}" if "reference_deviation" in details else ""
        return f"{feature}{way}: {details['reference_mean']:.3g}{spread} before, {details['recent_mean']:.3g} of late{since}"
    return ""
