"""The guard's detectors: findings in an answer that grows, and no import of torch."""

import subprocess
import sys

import pytest
from support.cases import cases

from detectors.cheap.growing_text import GrowingText
from detectors.cheap.pii import GrowingPii
from detectors.cheap.toxicity import GrowingToxicity, insults
from detectors.errors import NotLoadedError

CASES = cases(__file__)
DETECTORS = {detector.name: detector for detector in (GrowingToxicity, GrowingPii)}
CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def loaded():
    made = {name: detector() for name, detector in DETECTORS.items()}
    for detector in made.values():
        detector.load()
    return made


def find(detector, text, **fields):
    return detector.find(GrowingText(text=text, **fields), detector.threshold)


@pytest.mark.parametrize(("text", "name"), CASES["abusive"])
def test_a_finding_has_a_range_in_the_text(loaded, text, name):
    found = find(loaded[name], text)
    assert found is not None
    assert 0 <= found.start < found.end <= len(text)
    assert found.score >= loaded[name].threshold


@pytest.mark.parametrize("text", CASES["harmless"])
@pytest.mark.parametrize("name", DETECTORS)
def test_ordinary_text_has_no_finding(loaded, text, name):
    assert find(loaded[name], text) is None


def test_a_short_insult_in_a_long_sentence_is_found_in_its_window(loaded):
    text = "the garden is wide and the river is long " * 8
    text = f"{text}you fucking bitch i will kill you {text}".replace(".", "")
    found = find(loaded["toxicity"], text)
    assert found is not None
    assert "bitch" in text[found.start : found.end]
    assert found.end - found.start < 60


def test_personal_data_at_the_end_of_a_part_is_found_only_with_the_text_after_it(loaded):
    text = f"The card is {CARD} "
    assert find(loaded["pii"], text, is_end=False) is None
    assert find(loaded["pii"], text + "and ", is_end=False) is not None
    assert find(loaded["pii"], text, is_end=True) is not None


def test_a_number_that_may_be_cut_at_the_start_of_a_part_is_no_finding(loaded):
    text = f"{CARD} and so on"
    assert find(loaded["pii"], text, is_start=False) is None
    assert find(loaded["pii"], text) is not None


def test_a_clause_that_may_be_cut_at_the_start_of_a_part_is_no_finding(loaded):
    cut = "you are a loser, she explained, but that you are tired."
    assert find(loaded["toxicity"], cut, is_start=False) is None
    assert find(loaded["toxicity"], cut) is not None


def test_a_threshold_above_every_score_finds_nothing(loaded):
    insult = GrowingText(text="You are a complete idiot.")
    assert loaded["toxicity"].find(insult, 0.99) is None


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_that_is_not_loaded_raises_an_error(name):
    with pytest.raises(NotLoadedError, match=r"call load\(\) once"):
        find(DETECTORS[name](), "text")


@pytest.mark.parametrize("hostile", ["you ", "you are a ", "you a a a a a a a a ", "you, ", "piece of ", '"  '])
def test_patterns_take_linear_time(hostile):
    assert not list(insults(hostile * (1_000_000 // len(hostile))))


def test_a_process_with_the_detectors_imports_no_torch():
    code = (
        "import sys; from detectors.cheap.pii import GrowingPii; from detectors.cheap.toxicity import GrowingToxicity\n"
        "for detector in (GrowingPii(), GrowingToxicity()): detector.load()\n"
        "print(*sorted({'torch', 'transformers', 'tokenizers'} & {m for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
