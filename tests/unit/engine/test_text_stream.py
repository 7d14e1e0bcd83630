import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from serving.engine.protocol import TokenLogprob
from serving.engine.text_stream import Detokeniser, StopStrings, TextStream


def _bytes(tokens):
    return bytes(tokens).decode("utf-8", "replace")


def _pieces(data: bytes) -> list[str]:
    detokeniser = Detokeniser(_bytes)
    return [detokeniser.push(byte) for byte in data]


@pytest.mark.parametrize(
    "text", ["plain", "naïve café", "日本語", "👩‍👩‍👧‍👦 family", "a👋b", "", "\ufffd kept \ufffd inside"]
)
def test_only_whole_characters_are_returned_and_none_is_lost(text):
    pieces = _pieces(text.encode())
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_an_emoji_is_returned_with_its_last_byte():
    assert _pieces("👋".encode()) == ["", "", "", "👋"]


def test_an_incomplete_character_at_the_end_is_left_out():
    assert "".join(_pieces("ab👋".encode()[:-1])) == "ab"


def test_text_before_an_incomplete_character_is_returned():
    tokens = [b"Hi", b" there \xe4"]
    stream = TextStream(lambda ids: b"".join(tokens[index] for index in ids).decode("utf-8", "replace"), ())
    assert [stream.push(0), stream.push(1), stream.flush()] == ["Hi", " there ", ""]


def test_invalid_bytes_do_not_hold_back_the_text_after_them():
    pieces = _pieces(b"\xff" * 40 + b"done")
    assert any(pieces[:10])
    assert "".join(pieces).endswith("done")


def _but_a_cut_off_end(text):
    return text.rstrip("\ufffd")


@given(st.binary(max_size=60))
def test_any_bytes_give_the_same_text_as_decoding_them_together(data):
    assert _but_a_cut_off_end("".join(_pieces(data))) == _but_a_cut_off_end(_bytes(data))


@given(st.lists(st.sampled_from([0x41, 0x80, 0x91, 0xC3, 0xDF, 0xE2, 0xF0, 0x9F, 0xFF]), max_size=80))
def test_mostly_invalid_bytes_give_the_same_text_as_decoding_them_together(data):
    assert _but_a_cut_off_end("".join(_pieces(bytes(data)))) == _but_a_cut_off_end(_bytes(data))


@given(st.lists(st.sampled_from(["hi", "é", "日本", "😀", "👩‍👧", "ß", " "]), max_size=30).map("".join))
def test_a_tokenizer_with_byte_fallback_loses_no_character(text):
    """Tokenizers of Llama 2, Mistral and Gemma write U+FFFD for each byte of a byte sequence with an incomplete
    character.
    """
    decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokens = [token for char in text for token in ([char] if char.isascii() else _fallback(char))]
    stream = TextStream(lambda ids: decoder.decode([tokens[index] for index in ids]), ())
    pieces = [stream.push(index) for index in range(len(tokens))]
    assert "".join(pieces) + stream.flush() == text
    assert not any("\ufffd" in piece for piece in pieces)


@given(st.text(max_size=20).map(str.encode) | st.binary(max_size=40), st.data())
def test_a_decoder_that_leaves_out_incomplete_characters_loses_none(encoded, data):
    """The decoder of OpenVINO does this; a token can be any bytes of the text."""
    ends = sorted(data.draw(st.sets(st.integers(0, len(encoded)))) | {0, len(encoded)})
    tokens = [encoded[start:end] for start, end in itertools.pairwise(ends)]
    stream = TextStream(lambda ids: b"".join(tokens[index] for index in ids).decode("utf-8", "ignore"), ())
    text = "".join([stream.push(index) for index in range(len(tokens))]) + stream.flush()
    assert text == encoded.decode("utf-8", "ignore")


def _fallback(char):
    return [f"<0x{byte:02X}>" for byte in char.encode()]


def _stream(pieces, stop):
    stops, out = StopStrings(stop), []
    for piece in pieces:
        out.append(stops.push(piece))
        if stops.stopped:
            return out, True
    return [*out, stops.flush()], False


@pytest.mark.parametrize(
    ("pieces", "stop", "given_out", "stopped"),
    [
        (["one ", "END", " two"], ["END"], ["one ", ""], True),
        (["one E", "N", "D two"], ["END"], ["one ", "", ""], True),
        (["one E", "N", "T two"], ["END"], ["one ", "", "ENT two", ""], False),
        (["aab"], ["ab"], ["a"], True),
        (["aa", "b"], ["ab"], ["a", ""], True),
        (["x END y STOP"], ["STOP", "END"], ["x "], True),
        (["half EN"], ["END"], ["half ", "EN"], False),
        (["a\n", "\nb"], ["\n\n"], ["a", ""], True),
        (["nothing"], [], ["nothing", ""], False),
        (["nothing"], [""], ["nothing", ""], False),
    ],
)
def test_stop_strings_and_prefixes_of_them_are_held_back(pieces, stop, given_out, stopped):
    assert _stream(pieces, stop) == (given_out, stopped)


@given(st.lists(st.text("ab", max_size=4), max_size=20), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_text_ends_before_the_first_stop_string_for_any_chunks(pieces, stop):
    out, stopped = _stream(pieces, stop)
    text, whole = "".join(out), "".join(pieces)
    assert whole.startswith(text)
    assert not any(s in text for s in stop)
    assert stopped == any(s in whole for s in stop)
    if not stopped:
        assert text == whole


def test_a_stop_string_that_ends_inside_a_split_character_sequence():
    stream = TextStream(_bytes, ["👋"])
    out = "".join(stream.push(byte) for byte in "hi 👋".encode())
    assert (out, stream.stopped) == ("hi ", True)


def test_flush_returns_the_text_that_was_held_back():
    stream = TextStream(_bytes, ["END"])
    assert "".join(stream.push(byte) for byte in b"the E") == "the "
    assert (stream.flush(), stream.stopped) == ("E", False)


def _with_logprobs(pieces, stop):
    """Push pieces as tokens; return (text, pieces whose log-probabilities were returned) for each push and for the
    flush.
    """
    stream = TextStream(lambda tokens: "".join(pieces[token] for token in tokens), stop)
    returned = []
    for token, piece in enumerate(pieces):
        text = stream.push(token, TokenLogprob(piece, -1.0))
        returned.append((text, [one.token for one in stream.take_logprobs()]))
        if stream.stopped:
            return returned
    return [*returned, (stream.flush(), [one.token for one in stream.take_logprobs()])]


@pytest.mark.parametrize(
    ("pieces", "stop", "returned"),
    [
        (["a ", "b"], [], [("a ", ["a "]), ("b", ["b"]), ("", [])]),
        (["a ", "", "b"], [], [("a ", ["a "]), ("", []), ("b", ["", "b"]), ("", [])]),
        (["a ", "EN", "D", "x"], ["END"], [("a ", ["a "]), ("", []), ("", [])]),
        (["a EN", "D"], ["END"], [("a ", ["a EN"]), ("", [])]),
        (["a ", "EN", "T"], ["END"], [("a ", ["a "]), ("", []), ("ENT", ["EN", "T"]), ("", [])]),
        (["a ", "EN"], ["END"], [("a ", ["a "]), ("", []), ("EN", ["EN"])]),
        (["END"], ["END"], [("", [])]),
    ],
)
def test_a_log_probability_is_returned_with_its_text_and_a_stop_string_has_none(pieces, stop, returned):
    assert _with_logprobs(pieces, stop) == returned


def test_the_log_probabilities_of_all_bytes_of_a_character_are_returned():
    stream = TextStream(_bytes, [])
    places = []
    for byte in "a👋b".encode():
        stream.push(byte, TokenLogprob("?", -1.0))
        places.append([token.at for token in stream.take_logprobs()])
    assert places == [[0], [], [], [], [1] * 4, [2]]
