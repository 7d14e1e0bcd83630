"""The gazetteer: hashes of words and pairs of words from lists of names."""

import numpy as np

from detectors.models.minilm import load_tokenizer
from detectors.pii.gazetteer import Gazetteer
from detectors.pii.tokens import FORMS, encode

NAMES = {"first": ["Anna", "May"], "last": ["May", "Keller"], "place": ["New York", "Oslo"]}


def test_a_word_has_a_bit_for_each_list_and_pairs_count_as_both_words():
    gazetteer = Gazetteer.of(NAMES)
    words = ["ANNA", "may", "Keller", "in", "new", "york", "or", "oslo", "new"]
    assert gazetteer.lookup(words).tolist() == [1, 3, 2, 0, 4, 4, 0, 4, 0]
    assert gazetteer.lookup([]).tolist() == []
    assert np.all(np.diff(gazetteer.hashes.astype(np.int64)) > 0)


def test_all_tokens_of_a_listed_word_have_its_code():
    gazetteer = Gazetteer.of({"first": ["Wijtzemina"], "last": [], "place": []})
    text = "so Wijtzemina's here"
    (tokens,), (plain,) = (encode(load_tokenizer(), [text], one) for one in (gazetteer, None))
    listed = [text[a:b] for a, b, code in zip(tokens.starts, tokens.ends, tokens.shapes // FORMS, strict=True) if code]
    assert len(listed) > 1
    assert "".join(listed) == "Wijtzemina"
    assert (tokens.shapes % FORMS).tolist() == plain.shapes.tolist()
