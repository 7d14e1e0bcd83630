"""Words with an insult in a harmless text, for the tests of the guard."""

INSULT = ["I", "hate", "you", ",", "you", "worthless", "piece", "of", "shit", "."]
WORDS = ["the", "old", "river", "runs", "along", "a", "quiet", "wall", "toward", "the", "small", "village"]
#: The number of tokens between two checks.
EVERY = 16


def words(total=200, insult_at=50, insult=INSULT):
    """Return `total` words with an insult that begins at word `insult_at`."""
    said = [WORDS[number % len(WORDS)] for number in range(total)]
    said[insult_at : insult_at + len(insult)] = insult
    return said
