import pytest

from stream.errors import TopicMismatch, TopicMissing
from stream.kafka.topic_checks import check_topics


def test_a_wrong_partition_count_is_reported_before_a_missing_topic():
    check_topics({"a": 8}, {"a": 8, "b": 4})
    with pytest.raises(TopicMismatch, match=r"a has 3 partitions, the settings require 8.*TOPIC_PREFIX"):
        check_topics({"a": 8, "b": 4}, {"a": 3})
    with pytest.raises(TopicMissing, match=r"no topic b; run `weir topics create`.*without the right Describe"):
        check_topics({"a": 8, "b": 4}, {"a": 8})
