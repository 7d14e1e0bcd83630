"""Random values for the slots of ``texts/pii_sentences.toml``, from Faker and ``texts/pii_words.toml``.

There are many names, towns, streets, companies and jobs from many countries, so that the token head learns contexts
instead of a list. Organisations and job titles are composed here, because those of Faker have little variety.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from detectors.train.pii_names import towns
from detectors.train.templates import read_source

POOL = 250
#: Last date that Faker draws; its default is the current time, so values would depend on the clock.
END = datetime(2026, 1, 1, tzinfo=UTC)
#: (text, label) pairs; the label is empty for text outside entities.
Pieces = list[tuple[str, str]]


def _weight(locale: str) -> float:
    """Return the weight of a locale: higher for English, low for scripts that the tokenizer hardly covers."""
    if locale in read_source("pii_words").words["other_scripts"]:
        return 0.15
    return 4.0 if locale == "en_US" else 2.0 if locale.startswith("en_") else 1.0


class Slots:
    """A generator of slot values; they depend only on the seed and on Faker's version, which the lock file pins."""

    def __init__(self, seed: int) -> None:
        from faker import Faker  # noqa: PLC0415 - needed for training only

        self.rng = random.Random(seed)
        source = read_source("pii_words")
        self._words, self._formats = source.words, source.templates
        self.locales = (*self._words["locales"], *self._words["other_scripts"])
        self._weights = [_weight(locale) for locale in self.locales]
        self._make, self._seed = Faker, seed
        self._fakers: dict[str, Any] = {}
        self._pools: dict[tuple[str, str], list[str]] = {}
        self._english = self._faker("en_US")
        self._locale = "en_US"
        self.table = self._single_values()

    def _faker(self, locale: str) -> Any:
        """Return the Faker generator of a locale, built at first use because this takes a tenth of a second."""
        if locale not in self._fakers:
            made: Any = self._make(locale)
            self._fakers[locale] = made
            made.seed_instance(self._seed * 1000 + self.locales.index(locale))
            if locale == "it_IT":  # its cities are from a set, whose order differs between processes
                address = next(one for one in made.get_providers() if hasattr(one, "cities"))
                address.cities = sorted(address.cities)
        return self._fakers[locale]

    def _any_locale(self) -> str:
        return self.rng.choices(self.locales, self._weights)[0]

    def begin(self) -> None:
        """Choose the locale of the next text; about a fifth of the text's values are of other locales."""
        self._locale = self._any_locale()

    def fill(self, slot: str) -> Pieces:
        """Return a value for a slot as labelled pieces; raise KeyError if there is no such slot."""
        if slot == "address":
            return [("".join(text for text, _ in self._address()), "ADDRESS")]
        if slot == "address_lines":
            return self._address()
        if slot == "formal":
            return self._formal()
        label, make = self.table[slot]
        return [(make(), label)]

    def _single_values(self) -> dict[str, tuple[str, Callable[[], str]]]:
        """Return (label, generator) by slot, for slots whose value is a single piece."""
        word, shape, fake, english = self._word, self._format, self._fake, self._english
        return {
            "name": ("PERSON", self._name),
            "first": ("PERSON", self._first),
            "last": ("PERSON", lambda: fake("last_name")),
            "reversed": ("PERSON", lambda: f"{fake('last_name')}, {fake('first_name')}"),
            "initialled": ("PERSON", lambda: f"{fake('first_name')[0]}. {fake('last_name')}"),
            "prefix": ("TITLE", lambda: word("prefixes")),
            "job": ("TITLE", self._job),
            "street": ("ADDRESS", self._street),
            "school": ("ORGANIZATION", self._school),
            "org": ("ORGANIZATION", self._organisation),
            "hospital": ("ORGANIZATION", lambda: word("hospitals").format(city=fake("city"), last=fake("last_name"))),
            "party": ("NRP", lambda: word("parties")),
            "religion": ("NRP", lambda: word("religions")),
            "nationality": ("NRP", lambda: word("nationalities")),
            "city": ("LOCATION", self._city),
            "country": ("LOCATION", self._country),
            "state": ("LOCATION", self._state),
            "landmark": ("LOCATION", lambda: word("landmarks").format(city=fake("city"), last=fake("last_name"))),
            "streetname": ("ADDRESS", lambda: fake("street_name")),
            "zip": ("ADDRESS", self._zip),
            "unit": ("ADDRESS", lambda: f"{shape('units')} {self.rng.randint(1, 999)}"),
            "date": ("DATE_TIME", self._date),
            "weekday": ("DATE_TIME", lambda: english.date("%A", end_datetime=END)),
            "year": ("DATE_TIME", lambda: str(self.rng.randint(1930, 2026))),
            "time": ("DATE_TIME", lambda: self._timestamp().strftime(shape("times"))),
            "datetime": ("DATE_TIME", lambda: self._timestamp().strftime(shape("datetimes"))),
            "age": ("AGE", lambda: str(self.rng.randint(1, 99))),
            "phone": ("PHONE_NUMBER", self._phone),
            "license": ("ID", lambda: self._digits("licences")),
            "passport": ("ID", lambda: self._digits("passports")),
            "account": ("ID", lambda: self._digits("accounts")),
            "ssn": ("FORMAT", english.ssn),
            "iban": ("FORMAT", self._iban),
            "card": ("FORMAT", lambda: self._spaced(english.credit_card_number())),
            "email": ("FORMAT", self._email),
            "url": ("FORMAT", self._url),
            "ip": ("FORMAT", lambda: english.ipv6() if self.rng.random() < 0.3 else english.ipv4()),
            "gender": ("", lambda: self.rng.choice(("male", "female", "m", "f"))),
            "num": ("", self._number),
            "code": ("", lambda: self._digits("codes")),
            "amount": ("", lambda: shape("amounts").format(f"{self.rng.uniform(1, 9999):,.2f}")),
            "version": ("", lambda: ".".join(str(self.rng.randint(0, 20)) for _ in range(3))),
        }

    def _word(self, name: str) -> str:
        return self.rng.choice(self._words[name])

    def _format(self, name: str) -> str:
        return self.rng.choice(self._formats[name])

    def _fake(self, kind: str) -> str:
        """Return a random value of a kind in the text's locale, or in English if the locale lacks this kind."""
        locale = self._locale if self.rng.random() < 0.8 else self._any_locale()
        pool = self._pools.get((locale, kind))
        if pool is None:
            make = getattr(self._faker(locale), kind, None) or getattr(self._english, kind)
            pool = self._pools[locale, kind] = [str(make()) for _ in range(POOL)]
        return self.rng.choice(pool)

    def _name(self) -> str:
        first, last, draw = self._fake("first_name"), self._fake("last_name"), self.rng.random()
        if draw < 0.06:
            return f"{first} {self.rng.choice('ABCDEFGHJKLMNPRSTW')}. {last}"
        if draw < 0.10:
            return f"{first} {self._fake('first_name')} {last}"
        if draw < 0.13:
            return f"{first} {last}-{self._fake('last_name')}"
        return f"{first} {self.rng.choice(('van', 'de', 'von', 'bin', 'da', 'al')) + ' ' if draw > 0.97 else ''}{last}"

    def _formal(self) -> Pieces:
        name = self._fake("last_name") if self.rng.random() < 0.6 else self._name()
        return [(self._word("prefixes"), "TITLE"), (" ", ""), (name, "PERSON")]

    def _country(self) -> str:
        return self._english.country() if self.rng.random() < 0.85 else self._fake("country")

    def _state(self) -> str:
        return str(self._faker(self.rng.choice(("en_US", "en_US", "en_IN", "de_DE"))).state())

    def _iban(self) -> str:
        return str(self._faker(self.rng.choice(("en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL"))).iban())

    def _url(self) -> str:
        return str(getattr(self._english, self.rng.choice(("url", "uri", "domain_name")))())

    def _first(self) -> str:
        return self._fake("first_name") if self.rng.random() < 0.9 else self._word("first_names")

    def _city(self) -> str:
        draw = self.rng.random()
        if draw < 0.4:
            return self.rng.choice(towns()[draw < 0.2])
        return self._fake("city") if draw < 0.8 else self._word("cities")

    def _street(self) -> str:
        if self.rng.random() < 0.6:
            return self._fake("street_address").replace("\n", ", ")
        number, name = self.rng.randint(1, 999), self._fake("street_name")
        return f"{number} {name}" if self.rng.random() < 0.5 else f"{name} {number}"

    def _zip(self) -> str:
        return self._fake("postcode") if self.rng.random() < 0.7 else self._english.postcode()

    def _address(self) -> Pieces:
        """Return an address with its street, its town and often its unit and country, an entity each."""
        comma = self.rng.choice((", ", "\n", " ", ",\n", "\n "))
        pieces: Pieces = [(self._street(), "ADDRESS")]
        if self.rng.random() < 0.4:
            pieces += [(comma, ""), *self.fill("unit")]
        city, code = (self._fake("city"), "LOCATION"), (self._zip(), "ADDRESS")
        pieces.append((comma, ""))
        order = self.rng.random()
        if order < 0.3:
            pieces += [code, (" ", ""), city]
        elif order < 0.6:
            pieces += [city, (", ", ""), (self._english.state_abbr(), "LOCATION"), (" ", ""), code]
        else:
            pieces += [city, (comma, ""), code] if order < 0.8 else [city]
        if self.rng.random() < 0.4:
            pieces += [(comma, ""), (self._country(), "LOCATION")]
        return pieces

    def _school(self) -> str:
        city, last, word = self._fake("city"), self._fake("last_name"), self._word("org_words")
        return self._word("schools").format(city=city, last=last, word=word)

    def _legal_form(self) -> str:
        return f" {self._word('legal_forms')}" if self.rng.random() < 0.25 else ""

    def _organisation(self) -> str:  # noqa: PLR0911 - one shape a line
        pick, word, draw = self.rng.choice, self._word, self.rng.random()
        if draw < 0.07:
            return word("brands")
        if draw < 0.2:
            return self._fake("company")
        if draw < 0.4:
            return self._invented_name() + self._legal_form()
        if draw < 0.5:
            letters = "".join(pick("ABCDEFGHIKLMNOPRSTUVW") for _ in range(self.rng.randint(2, 5)))
            return letters + pick(("", "", " Group", " Bank"))
        if draw < 0.6:
            last = self._fake("last_name")
            shape = pick(("{0} & {1}", "{0} and Sons", "{0}, {1} and Partners", "{0}'s", "{0} Brothers", "{0}-{1} Inc"))
            return shape.format(last, self._fake("last_name"))
        words = [word("org_words") for _ in range(pick((1, 1, 2)))]
        base = " ".join([*words, word("org_kinds")])
        if draw < 0.68:
            shape = pick(("{} of {}", "The {} of {}"))
            return shape.format(word("org_kinds"), pick((self._country(), word("org_words"), self._fake("city"))))
        if draw < 0.74:
            return f"{self._fake('city')} {word('org_kinds')}"
        return base + self._legal_form()

    def _invented_name(self) -> str:
        name = self._word("coined_starts") + self._word("coined_ends")
        if self.rng.random() < 0.7:
            return name.capitalize()
        return name[: self.rng.randint(2, 4)].capitalize() + name[4:].capitalize()

    def _job(self) -> str:
        pick, word, draw = self.rng.choice, self._word, self.rng.random()
        if draw < 0.35:
            return self._english.job() if self.rng.random() < 0.85 else self._fake("job")
        if draw < 0.6:
            trade = word("trades")
            return trade if self.rng.random() < 0.7 else f"{word('ranks')} {trade}"
        name = f"{word('fields')} {word('roles')}"
        if draw < 0.75:
            name = f"{word('ranks')} {name}"
        elif draw < 0.82:
            head = pick(("Head", "Director", "Vice President", "VP", "Manager", "Chief"))
            name = f"{head} of {word('fields').capitalize()}"
        elif draw < 0.88:
            name = f"{word('fields')} and {word('fields')} {word('roles')}"
        return name.capitalize() if self.rng.random() < 0.3 else name

    def _timestamp(self) -> datetime:
        """Return a random time in the years 1940 to 2027; a time from Faker would depend on today's date."""
        return datetime(1940, 1, 1, tzinfo=UTC) + timedelta(seconds=self.rng.randrange(88 * 365 * 86_400))

    def _date(self) -> str:
        text = self._timestamp().strftime(self._format("dates"))
        return text.replace("/0", "/").lstrip("0") if self.rng.random() < 0.4 else text

    def _phone(self) -> str:
        return self._fake("phone_number") if self.rng.random() < 0.7 else self._digits("phones")

    def _digits(self, name: str) -> str:
        """Fill a random format of the list ``name``: a digit 1 to 9 for each "#" and a capital letter for each "?"."""
        characters = {"#": "123456789", "?": "ABCDEFGHKLMNPRST"}
        return "".join(self.rng.choice(characters[c]) if c in characters else c for c in self._format(name))

    def _number(self) -> str:
        ranges = ((1, 20), (20, 999), (1000, 999_999), (1000, 99_999))
        numbers = [self.rng.randint(*limits) for limits in ranges]
        return self.rng.choice([f"{number:,}" if index == 2 else str(number) for index, number in enumerate(numbers)])

    def _spaced(self, number: str) -> str:
        mark = self.rng.choice(("", "", " ", "-"))
        return mark.join(number[i : i + 4] for i in range(0, len(number), 4))

    def _email(self) -> str:
        if self.rng.random() < 0.5:
            return str(self._english.email())
        return f"{self._fake('first_name')}{self._fake('last_name')}@{self._english.domain_name()}".replace(" ", "")
