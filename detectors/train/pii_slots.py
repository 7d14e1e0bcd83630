"""What fills the slots of `detectors.train.pii_templates`: values of about forty locales from Faker, and own word lists.

Why this exists: names, towns, streets, companies and jobs must be many and of many countries, or the head learns the list
and not the surroundings. Organisations and job titles are composed here, because Faker's are of a few shapes only.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from detectors.train.pii_words import (
    BRANDS,
    CITIES,
    COINED,
    COINED_ENDS,
    FIELDS,
    FIRST_NAMES,
    LANDMARKS,
    LEGAL,
    NATIONALITIES,
    ORG_KINDS,
    ORG_WORDS,
    PARTIES,
    PLACES_OF_CARE,
    PREFIXES,
    RANKS,
    RELIGIONS,
    ROLES,
    SCHOOLS,
    TRADES,
)  # fmt: skip

__all__ = ["LOCALES", "Pieces", "Slots"]

LATIN = (
    "en_US", "en_GB", "en_AU", "en_CA", "en_IN", "en_IE", "en_NZ", "en_PH", "de_DE", "de_AT", "de_CH", "fr_FR", "fr_CA", "fr_CH",
    "es_ES", "es_MX", "es_CO", "it_IT", "pt_BR", "pt_PT", "nl_NL", "nl_BE", "da_DK", "no_NO", "sv_SE", "fi_FI", "pl_PL", "cs_CZ",
    "sk_SK", "sl_SI", "hr_HR", "hu_HU", "ro_RO", "tr_TR", "et_EE", "lt_LT", "lv_LV", "id_ID", "vi_VN", "zu_ZA",
)  # fmt: skip
OTHER = ("el_GR", "ru_RU", "uk_UA", "bg_BG", "ja_JP", "zh_CN", "ar_AA", "hi_IN", "ko_KR", "he_IL")
#: English at twice its share; scripts that the tokenizer hardly knows seldom.
LOCALES = (*LATIN, *OTHER)
_WEIGHTS = [
    *(4.0 if name == "en_US" else 2.0 if name.startswith("en_") else 1.0 for name in LATIN),
    *(0.15 for _ in OTHER),
]
POOL = 120
#: (text, label) pairs; an empty label is text that is no entity.
Pieces = list[tuple[str, str]]
_DATES = (
    "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%d %b %Y", "%B %Y", "%d-%m-%Y",
    "%A, %d %B", "%B %d", "%d/%m/%y", "%m/%d/%y", "%b %d", "%d-%b-%Y", "%Y/%m/%d",
)  # fmt: skip


class Slots:
    """Fills slots, a function of the seed alone (and of Faker's version, which the lock file pins)."""

    def __init__(self, seed: int) -> None:
        from faker import Faker  # noqa: PLC0415 - needed for training only

        self.rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
        self._make, self._seed = Faker, seed
        self._fakers: dict[str, Any] = {}
        self._pools: dict[tuple[str, str], list[str]] = {}
        self._english = self._faker("en_US")
        self._locale = "en_US"
        self._table = self._simple()

    def _faker(self, locale: str) -> Any:
        """Build a locale's generator at its first use: it takes a tenth of a second."""
        if locale not in self._fakers:
            self._fakers[locale] = self._make(locale)
            self._fakers[locale].seed_instance(self._seed * 1000 + LOCALES.index(locale))
        return self._fakers[locale]

    def begin(self) -> None:
        """Choose the locale of the next text; a fifth of the values come from another one all the same."""
        self._locale = self.rng.choices(LOCALES, _WEIGHTS)[0]

    def fill(self, slot: str) -> Pieces:
        """Return a value for a slot, in labelled pieces.

        Raises
        ------
        KeyError
            No such slot.
        """
        if slot == "address":
            return self._address()
        if slot == "formal":
            return self._formal()
        label, make = self._table[slot]
        return [(make(), label)]

    def _simple(self) -> dict[str, tuple[str, Callable[[], str]]]:
        pick, fake, english = self.rng.choice, self._fake, self._english
        return {
            "name": ("PERSON", self._name), "first": ("PERSON", self._first),
            "last": ("PERSON", lambda: fake("last_name")),
            "reversed": ("PERSON", lambda: f"{fake('last_name')}, {fake('first_name')}"),
            "initialled": ("PERSON", lambda: f"{fake('first_name')[0]}. {fake('last_name')}"),
            "prefix": ("TITLE", lambda: pick(PREFIXES)), "job": ("TITLE", self._job),
            "street": ("ADDRESS", self._street), "school": ("ORGANIZATION", self._school), "org": ("ORGANIZATION", self._organisation),
            "hospital": ("ORGANIZATION", lambda: pick(PLACES_OF_CARE).format(city=fake("city"), last=fake("last_name"))),
            "party": ("NRP", lambda: pick(PARTIES)), "religion": ("NRP", lambda: pick(RELIGIONS)),
            "nationality": ("NRP", lambda: pick(NATIONALITIES)),
            "city": ("LOCATION", self._city), "country": ("LOCATION", self._country),
            "state": ("LOCATION", self._state),
            "landmark": ("LOCATION", lambda: pick(LANDMARKS).format(city=fake("city"), last=fake("last_name"))),
            "streetname": ("ADDRESS", self._streetname), "zip": ("ADDRESS", self._zip), "unit": ("ADDRESS", self._unit),
            "date": ("DATE_TIME", self._date), "weekday": ("DATE_TIME", english.day_of_week), "year": ("DATE_TIME", lambda: str(self.rng.randint(1930, 2026))),
            "time": ("DATE_TIME", lambda: self._moment().strftime(pick(("%H:%M", "%I:%M %p", "%I %p", "%I:%M%p", "%H:%M:%S")))),
            "datetime": ("DATE_TIME", lambda: self._moment().strftime(pick(("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%S")))), "age": ("AGE", lambda: str(self.rng.randint(1, 99))),
            "phone": ("PHONE_NUMBER", self._phone), "license": ("ID", self._license), "passport": ("ID", self._passport),
            "account": ("ID", self._account), "ssn": ("FORMAT", english.ssn), "iban": ("FORMAT", self._iban),
            "card": ("FORMAT", lambda: self._spaced(english.credit_card_number())), "email": ("FORMAT", self._email),
            "url": ("FORMAT", self._url),
            "ip": ("FORMAT", lambda: english.ipv6() if self.rng.random() < 0.3 else english.ipv4()),
            "gender": ("", lambda: pick(("male", "female", "m", "f"))), "num": ("", self._number), "code": ("", self._code),
            "amount": ("", lambda: pick(("${}", "{} euros", "£{}", "{} EUR", "USD {}")).format(f"{self.rng.uniform(1, 9999):,.2f}")),
            "version": ("", lambda: ".".join(str(self.rng.randint(0, 20)) for _ in range(3))),
        }  # fmt: skip

    def _fake(self, kind: str) -> str:
        """Draw from the pool of the text's locale; a locale without that kind lends English."""
        locale = self._locale if self.rng.random() < 0.8 else self.rng.choices(LOCALES, _WEIGHTS)[0]
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
        return [(self.rng.choice(PREFIXES), "TITLE"), (" ", ""), (name, "PERSON")]

    def _country(self) -> str:
        return self._english.country() if self.rng.random() < 0.85 else self._fake("country")

    def _state(self) -> str:
        return str(self._faker(self.rng.choice(("en_US", "en_US", "en_IN", "de_DE"))).state())

    def _iban(self) -> str:
        return str(self._faker(self.rng.choice(("en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL"))).iban())

    def _url(self) -> str:
        return str(getattr(self._english, self.rng.choice(("url", "uri", "domain_name")))())

    def _first(self) -> str:
        return self._fake("first_name") if self.rng.random() < 0.9 else self.rng.choice(FIRST_NAMES)

    def _city(self) -> str:
        return self._fake("city") if self.rng.random() < 0.75 else self.rng.choice(CITIES)

    def _streetname(self) -> str:
        return self._fake("street_name")

    def _street(self) -> str:
        if self.rng.random() < 0.6:
            return self._fake("street_address").replace("\n", ", ")
        number, name = self.rng.randint(1, 999), self._fake("street_name")
        return f"{number} {name}" if self.rng.random() < 0.5 else f"{name} {number}"

    def _unit(self) -> str:
        return f"{self.rng.choice(('Apt.', 'Suite', 'Unit', 'Flat', 'Floor', '#', 'apt', 'P.O. Box'))} {self.rng.randint(1, 999)}"

    def _zip(self) -> str:
        return self._fake("postcode") if self.rng.random() < 0.7 else self._english.postcode()

    def _address(self) -> Pieces:
        comma = self.rng.choice((", ", "\n", " ", ",\n", "\n "))
        pieces: Pieces = [(self._street(), "ADDRESS")]
        if self.rng.random() < 0.4:
            pieces += [(comma, ""), (self._unit(), "ADDRESS")]
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
        city, last, word = self._fake("city"), self._fake("last_name"), self.rng.choice(ORG_WORDS)
        return self.rng.choice(SCHOOLS).format(city=city, last=last, word=word)

    def _organisation(self) -> str:  # noqa: PLR0911 - one shape a line
        pick, draw = self.rng.choice, self.rng.random()
        if draw < 0.07:
            return pick(BRANDS)
        if draw < 0.2:
            return self._fake("company")
        if draw < 0.4:
            name = pick(COINED) + pick(COINED_ENDS)
            name = (
                name.capitalize()
                if self.rng.random() < 0.7
                else name[: self.rng.randint(2, 4)].capitalize() + name[4:].capitalize()
            )
            return name + (" " + pick(LEGAL) if self.rng.random() < 0.25 else "")
        if draw < 0.5:
            return "".join(pick("ABCDEFGHIKLMNOPRSTUVW") for _ in range(self.rng.randint(2, 5))) + (
                pick(("", "", " Group", " Bank"))
            )
        if draw < 0.6:
            last = self._fake("last_name")
            return pick(
                ("{0} & {1}", "{0} and Sons", "{0}, {1} and Partners", "{0}'s", "{0} Brothers", "{0}-{1} Inc")
            ).format(last, self._fake("last_name"))
        words = [pick(ORG_WORDS) for _ in range(self.rng.choice((1, 1, 2)))]
        base = " ".join(words) + " " + pick(ORG_KINDS)
        if draw < 0.68:
            return pick(("{} of {}", "The {} of {}")).format(
                pick(ORG_KINDS), pick((self._country(), pick(ORG_WORDS), self._fake("city")))
            )
        if draw < 0.74:
            return f"{self._fake('city')} {pick(ORG_KINDS)}"
        return base + (" " + pick(LEGAL) if self.rng.random() < 0.25 else "")

    def _job(self) -> str:
        pick, draw = self.rng.choice, self.rng.random()
        if draw < 0.35:
            return self._english.job() if self.rng.random() < 0.85 else self._fake("job")
        if draw < 0.6:
            trade = pick(TRADES)
            return trade if self.rng.random() < 0.7 else f"{pick(RANKS)} {trade}"
        name = f"{pick(FIELDS)} {pick(ROLES)}"
        if draw < 0.75:
            name = f"{pick(RANKS)} {name}"
        elif draw < 0.82:
            name = f"{pick(('Head', 'Director', 'Vice President', 'VP', 'Manager', 'Chief'))} of {pick(FIELDS).capitalize()}"
        elif draw < 0.88:
            name = f"{pick(FIELDS)} and {pick(FIELDS)} {pick(ROLES)}"
        return name.capitalize() if self.rng.random() < 0.3 else name

    def _moment(self) -> datetime:
        """Return a moment of the years 1940 to 2028; Faker's own would depend on today."""
        return datetime(1940, 1, 1, tzinfo=UTC) + timedelta(seconds=self.rng.randrange(88 * 365 * 86_400))

    def _date(self) -> str:
        text = self._moment().strftime(self.rng.choice(_DATES))
        return text.replace("/0", "/").lstrip("0") if self.rng.random() < 0.4 else text

    def _phone(self) -> str:
        draw = self.rng.random()
        if draw < 0.7:
            return self._fake("phone_number")
        form = self.rng.choice(("### ####", "##-##-##-##", "(##) ###-###", "0## ### ####", "## ### ###", "+## ## ### ## ##", "### ## ## ##",
                                "###-###-####", "0####-######", "##########", "+### #### ####", "(0##) #### ####"))  # fmt: skip
        return self._digits(form)

    def _digits(self, form: str) -> str:
        return "".join(
            self.rng.choice("123456789") if c == "#" else self.rng.choice("ABCDEFGHKLMNPRST") if c == "?" else c
            for c in form
        )

    def _license(self) -> str:
        return self._digits(
            self.rng.choice(
                ("?#######", "########", "#########", "??######?", "?###########", "?############", "??#####")
            )
        )

    def _passport(self) -> str:
        return self._digits(self.rng.choice(("#########", "?########", "??#######", "?#######")))

    def _account(self) -> str:
        return self._digits(
            self.rng.choice(("##########", "########", "######", "??-######", "###-####-###", "?#####", "############"))
        )

    def _number(self) -> str:
        return self.rng.choice(
            (
                str(self.rng.randint(1, 20)),
                str(self.rng.randint(20, 999)),
                f"{self.rng.randint(1000, 999999):,}",
                str(self.rng.randint(1000, 99999)),
            )
        )

    def _code(self) -> str:
        return self._digits(
            self.rng.choice(("??##", "??-####-??", "####-####", "???####", "978-#-##-######-#", "?#?#?#", "SAVE##"))
        )

    def _spaced(self, number: str) -> str:
        mark = self.rng.choice(("", "", " ", "-"))
        return mark.join(number[i : i + 4] for i in range(0, len(number), 4))

    def _email(self) -> str:
        return (
            self._english.email()
            if self.rng.random() < 0.5
            else f"{self._fake('first_name')}{self._fake('last_name')}@{self._english.domain_name()}".replace(" ", "")
        )
