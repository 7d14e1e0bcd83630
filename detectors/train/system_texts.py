"""Texts of a Debian system: messages of programs in many languages, manual pages, and documents of packages.

The texts are harmless. An attack by an author of this project is added to some of them (`detectors.train.written_texts`). The texts have the licences
of their packages. Only folders that exist are read. The split is by the name of the program or package, so all translations of a message are in
the same split.
"""

import gettext
import gzip
import random
import re
from collections.abc import Iterator
from pathlib import Path

from detectors.evaluate.examples import UNKNOWN, Example, labels
from detectors.train.real_texts import WINDOW, inserted, piece, split_of
from detectors.train.templates import read_source
from detectors.train.written_texts import AUTHORS

SHARE = Path("/usr/share")
#: Maximum number of texts of each kind, in all splits together.
MESSAGES, MANUALS, DOCUMENTS = 6000, 3000, 2000
#: Share of the texts to which an attack is added.
PLANTED = 0.25
#: Languages whose catalogs and manual pages are read; the English messages are the keys of the German catalogs.
LANGUAGES = ("de", "fr", "es", "it", "pt_BR", "nl", "pl", "tr", "ar", "hi", "zh_CN", "ja", "ru")
#: Numbers of characters of a message, and minimum number of another text.
MESSAGE, LEAST = range(20, 400), 200
#: Beginning of the names of catalogs that contain countries, languages and currencies.
_NAMES = "iso_"
_DOCUMENT = re.compile(r"README|NEWS|FAQ|HOWTO|INSTALL|TODO|changelog|copyright")
#: Markup of roff: requests at the beginning of a line, changes of the font, escaped characters.
_ROFF = re.compile(r"(?m)^[.'](?:\\\".*|[A-Za-z]{1,3} ?)|\\f(?:\[\w*\]|\(..|.)|\\\*?\(..|\\[&%:/,]|\\(?=[- ])")


def _split(name: str) -> str:
    return split_of(name.removesuffix(".gz").split(".")[0])


def _messages(share: Path, language: str) -> dict[str, list[str]]:
    """Return catalog → its messages in ``language``."""
    found: dict[str, list[str]] = {}
    for path in sorted(share.glob(f"locale/{'de' if language == 'en' else language}/LC_MESSAGES/*.mo")):
        if path.name.startswith(_NAMES):
            continue
        try:
            with path.open("rb") as file:
                catalog = gettext.GNUTranslations(file)
        except (UnicodeDecodeError, OSError):
            continue  # the header names a wrong encoding
        # gettext has no public list of the messages; a test with a real catalog fails if this name changes.
        known = [key for key in vars(catalog)["_catalog"] if isinstance(key, str) and key]
        texts = known if language == "en" else [catalog.gettext(key) for key in known]
        if usable := [text for text in texts if len(text) in MESSAGE]:
            found[path.name] = usable
    return found


def _message_texts(share: Path, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield (catalog, one to seven messages of it) of random languages."""
    catalogs = [found for language in ("en", "en", *LANGUAGES) if (found := _messages(share, language))]
    for _ in range(MESSAGES if catalogs else 0):
        found = rng.choice(catalogs)
        name = rng.choice(list(found))
        count = rng.choice([1, 1, 2, 3, 5, 7])
        yield name, rng.choice(["\n", "\n", "\n\n", " "]).join(rng.sample(found[name], min(count, len(found[name]))))


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", errors="replace")


def _files(share: Path, rng: random.Random) -> Iterator[tuple[str, str, Path]]:
    """Yield (source, name of the program or package, file) of manual pages and documents."""
    folders = [f"man/{folder}man[1578]" for folder in ("", *(f"{one}/" for one in LANGUAGES))]
    pages = [sorted(share.glob(f"{folder}/*.gz")) for folder in (*folders, "info")]
    if pages := [found for found in pages if found]:
        for _ in range(MANUALS):
            path = rng.choice(rng.choice(pages))
            yield "manual", path.name, path
    documents = [path for path in sorted(share.glob("doc/*/*")) if path.is_file() and _DOCUMENT.search(path.name)]
    for path in rng.sample(documents, min(DOCUMENTS, len(documents))):
        yield "system_docs", path.parent.name, path


def _harmless(share: Path, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield (source, split, text)."""
    for name, text in _message_texts(share, rng):
        yield "messages", _split(name), text
    for source, name, path in _files(share, rng):
        text = _ROFF.sub("", _text(path)) if source == "manual" else _text(path)
        if len(text) >= LEAST:
            yield source, _split(name), text


def system_examples(seed: int = 0, share: Path = SHARE) -> Iterator[Example]:
    """Yield pieces of messages, manual pages and documents below ``share``, and to a part of them also one with an attack."""
    rng = random.Random(f"system {seed}")
    attacks = {split: read_source(f"{author}_styles").templates["attack"] for split, author in AUTHORS.items()}
    for source, split, text in _harmless(share, rng):
        found = piece(text, rng)
        yield Example(found, labels(0.0), 1.0, source, split)
        if split in attacks and rng.random() < PLANTED:
            planted, span = inserted(found, rng.choice(attacks[split]), rng)
            yield Example(piece(planted, rng, WINDOW, span), labels(UNKNOWN, 1.0), 1.0, "system_planted", split)
