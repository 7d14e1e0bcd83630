"""What the PII detector looks for, as data: Presidio's recognisers by class name, and what is said otherwise here."""

import re

__all__ = [
    "ADDRESS",
    "ADDRESS_CONTEXT",
    "CARD_LENGTHS",
    "CONTEXT",
    "FEWEST_DIGITS",
    "HOUSE_NUMBER",
    "ID_BEFORE",
    "ID_WORDS",
    "INDIRECT",
    "IP_WORDS",
    "NEEDS_CONTEXT",
    "NOT_ADDRESS",
    "NOT_NAME",
    "OVERRIDES",
    "OWN",
    "PHONE_BRACKET_REGIONS",
    "PHONE_FILLERS",
    "PHONE_FILLERS_UNSPACED",
    "PHONE_GROUPS",
    "PHONE_LABELS",
    "PHONE_LABELS_UNSPACED",
    "PHONE_NOT_LABELS",
    "PHONE_TRUNK_REGIONS",
    "PHONE_UNITS",
    "PHONE_WORDS",
    "RECOGNIZERS",
    "URL",
    "VERSION_WORDS",
]

#: Presidio recognisers whose patterns, checksums and context words are used.
RECOGNIZERS = (
    "CreditCardRecognizer",
    "CryptoRecognizer",
    "EmailRecognizer",
    "IbanRecognizer",
    "IpRecognizer",
    "MacAddressRecognizer",
    "DateRecognizer",
    "MedicalLicenseRecognizer",
    "UsBankRecognizer",
    "UsLicenseRecognizer",
    "UsItinRecognizer",
    "UsPassportRecognizer",
    "UsSsnRecognizer",
    "AbaRoutingRecognizer",
    "UsMbiRecognizer",
    "NhsRecognizer",
    "UkNinoRecognizer",
    "UkPassportRecognizer",
    "InAadhaarRecognizer",
    "InPanRecognizer",
    "EsNifRecognizer",
    "ItFiscalCodeRecognizer",
    "PlPeselRecognizer",
    "SgFinRecognizer",
    "AuTfnRecognizer",
    "AuMedicareRecognizer",
    "FiPersonalIdentityCodeRecognizer",
)

#: Patterns that RE2 does not take (lookaround, back-references) or that are looser than their checksum; by pattern name.
OVERRIDES: dict[str, str | None] = {
    "All Credit Cards (weak)": r"\b(?:4\d{3}|5[0-5]\d{2}|6\d{3}|1\d{3}|3\d{3})[- ]?\d{3,4}[- ]?\d{3,4}[- ]?\d{3,5}\b",
    "IBAN Generic": r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b",
    "MAC_COLON_OR_HYPHEN": r"\b[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})\b",
    "NINO (medium)": r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b",
    # One character set before the @, so that no suffix is tried twice.
    "Email (Medium)": r"\b[\w!#$%&'*+\-/=?^`{|}~.]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b",
    # Presidio's alternatives stop at the first that fits; ipaddress decides.
    "IPv6": r"\b[0-9A-Fa-f]{1,4}(?::{1,2}[0-9A-Fa-f]{1,4}){1,7}(?:::)?|::(?:[0-9A-Fa-f]{1,4}:){0,6}[0-9A-Fa-f]{1,4}",
    "PAN (Low)": None,
    "PAN (Medium)": None,
    # Digits alone: read only beside a word of its context, as all of this kind (NEEDS_CONTEXT).
    "Driver License - Digits (very weak)": r"\b[0-9]{7,12}\b",
    "Finnish Personal Identity Code (Very Weak)": None,
    "mm/yyyy or m/yyyy": None,
    "mm/yy or m/yy": None,
    "dd-MMM or dd-MMM": None,
}

#: Types that random digits satisfy too often (a checksum of one digit in ten): reported only beside a word of their context.
NEEDS_CONTEXT = frozenset(
    {
        "ABA_ROUTING_NUMBER",
        "UK_NHS",
        "PL_PESEL",
        "AU_TFN",
        "AU_MEDICARE",
        "IN_AADHAAR",
        "SG_NRIC_FIN",
        "US_BANK_NUMBER",
        "US_DRIVER_LICENSE",
        "US_PASSPORT",
        "US_ITIN",
        "UK_PASSPORT",
        "IN_PAN",
        "MEDICAL_LICENSE",
    }
)

#: Words of context instead of Presidio's, which name more than the number ("license", "us", "save", "check").
CONTEXT = {
    "US_DRIVER_LICENSE": (
        "driver",
        "drivers",
        "driving",
        "dl",
        "license number",
        "license no",
        "licence number",
        "licence no",
    ),
    "US_PASSPORT": ("passport", "passports", "travel document"),
    "US_BANK_NUMBER": ("account", "acct", "bank", "debit", "deposit", "routing"),
}

#: Digits of a payment card by how it begins (ISO/IEC 7812); the longest prefix counts.
CARD_LENGTHS = {
    "4": (13, 16, 19), "5": (16,), "51": (16,), "52": (16,), "53": (16,), "54": (16,), "55": (16,), "6": range(16, 20), "34": (15,),
    "37": (15,), "35": (16,), "3": (14, 16), "1": (15,),
}  # fmt: skip

#: Words near four numbers with points: an address of the net, or a version.
IP_WORDS = (
    "ips?", "ipv[46]", "addr(?:ess(?:es)?)?", "hosts?", "servers?", "ping", "dns", "clients?", "remote", "peers?", "gateway", "subnet", "network",
    "firewall", "login", "logged", "ssh", "connect(?:ed|ion|ions|s)?", "inet", "forwarded", "nameservers?", "resolver", "traceroute", "proxy",
    "src", "dst", "router", "visitors?",
)  # fmt: skip
VERSION_WORDS = (
    "v", "versions?", "releases?d?", "upgraded?", "updated?", "downgraded?", "builds?", "firmware", "drivers?", "packages?", "librar(?:y|ies)",
    "wheel", "sections?", "chapter", "clause", "oid", "objectidentifier", "changelog", "requires", "installed", "unpack(?:ed)?",
)  # fmt: skip

#: Types that alone identify nobody: they are reported, and are a reason to flag only together (a name with an address).
INDIRECT = frozenset({"PERSON", "LOCATION", "NRP", "ORGANIZATION", "DATE_TIME", "URL", "TITLE", "AGE"})

#: Probability of a word from which on the head's kinds are believed; recall counts twice as much as precision.
SURE_FROM = {
    "PERSON": 0.4, "LOCATION": 0.4, "ADDRESS": 0.4, "ORGANIZATION": 0.4, "TITLE": 0.4, "NRP": 0.4, "DATE_TIME": 0.4, "AGE": 0.4,
    "PHONE_NUMBER": 0.4, "ID": 0.4, "FORMAT": 2.0,
}  # fmt: skip
#: Marks that are cut from both ends of an entity.
TRIM = frozenset(" \t\r\n,;:!?\"'()[]{}<>|*_")

#: Digits that a text must hold before patterns of a kind are tried at all; a kind that is not named may do without.
FEWEST_DIGITS = {
    "CREDIT_CARD": 12, "CRYPTO": 1, "IBAN_CODE": 10, "DATE_TIME": 3, "MEDICAL_LICENSE": 7, "US_BANK_NUMBER": 8, "US_DRIVER_LICENSE": 1,
    "US_ITIN": 9, "US_PASSPORT": 8, "US_SSN": 9, "ABA_ROUTING_NUMBER": 9, "US_MBI": 4, "UK_NHS": 10, "UK_NINO": 6, "UK_PASSPORT": 7,
    "IN_AADHAAR": 12, "IN_PAN": 4, "ES_NIF": 7, "IT_FISCAL_CODE": 3, "PL_PESEL": 11, "SG_NRIC_FIN": 7, "AU_TFN": 8, "AU_MEDICARE": 9,
    "FI_PERSONAL_IDENTITY_CODE": 9, "PHONE_NUMBER": 6, "LOCATION": 1, "AGE": 1,
}  # fmt: skip

#: Words before a number, within so many characters, that say what it is.
ID_WORDS = {"US_DRIVER_LICENSE": ("driver", "driving", "dl no"), "US_PASSPORT": ("passport",)}
ID_BEFORE = 40

_MONTH = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
#: Patterns of this project: kind, expression, score. The first group is the span. Without ``(?i)`` capitals count.
OWN: tuple[tuple[str, str, float], ...] = (
    ("TITLE", r"\b((?:Mr|Mrs|Ms|Mx|Dr|Prof)\.|(?:Mr|Mrs|Ms|Dr|Prof|Miss)\b) ?[\p{Lu}]", 0.6),
    ("TITLE", r"\b((?i:mrs|mr|ms|dr)\.) \p{L}", 0.6),
    ("AGE", r"(?i)\b(\d{1,3})(?:[ -]years?[ -]old| years of age|[ -]?y/?o)\b", 0.6),
    ("AGE", r"(?i)\b(?:aged|age is|age[:=]|at the age of|(?:turns|turned|turning)(?: just)?) ?(\d{1,3})\b", 0.6),
    ("DATE_TIME", r"\b(\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?)\b", 0.6),
    ("DATE_TIME", rf"(?i)\b(\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\.?(?:,? \d{{4}})?)\b", 0.6),
    ("DATE_TIME", rf"(?i)\b({_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?)\b", 0.6),
    ("DATE_TIME", r"(?i)\b((?:mon|tues|wednes|thurs|fri|satur|sun)day)\b", 0.5),
    ("DATE_TIME", r"(?i)\b(\d{1,2}(?::\d{2}){1,2}(?: ?[ap]\.?m\b)?)", 0.5),
    ("LOCATION", r"(?i)\b((?:apt|apartment|suite|unit|flat|p\.? ?o\.? ?box)\b\.? ?#?\d{1,5})\b", 0.5),
    ("LOCATION", r"\b([A-Z]{2},? \d{5}(?:-\d{4})?)\b", 0.5),
)

#: Words that say that the number beside them is a phone number, in lower case; expressions, whole words.
PHONE_LABELS = (
    r"(?:mobile|cell|tele)?phones?(?: ?(?:no|number))?", "tel", "tél", "fax", "telefax", "mobile", "whatsapp", "sms", "hotline", "landline",
    "dial", r"cell(?= ?[:#])", r"(?:call|text|ring|reach|contact) (?:me|us|him|her|them|back)", "my (?:cell|number)",
    "telefon(?:e|o|nummer|nr|u)?", "telefoon(?:nummer)?", "teléfono", "téléphone", "telepon", "puhelin(?:numero)?", "matkapuhelin",
    "rufnummer", "handy(?:nummer)?", "mobil(?:nummer)?", "mobiel", "m[oó]vil", "celular", "cellulare", "komórka", "điện thoại",
    r"тел(?:ефон)?", r"моб(?:ильный)?", r"τηλ(?:έφωνο)?",
)  # fmt: skip
#: The same in scripts that write words without spaces or with marks.
PHONE_LABELS_UNSPACED = ("电话", "電話", "手机", "手機", "传真", "热线", "携帯", "전화", "휴대폰", "핸드폰", "फोन", "फ़ोन", "मोबाइल", "هاتف", "جوال", "โทร")  # fmt: skip
#: Words between a label and its number.
PHONE_FILLERS = (
    "number", "numbers", "no", "nr", "num", "nummer", "número", "numéro", "numero", "is", "are", "at", "on", "under", "to", "via", "or", "and",
    "my", "your", "our", "his", "her", "their", "the", "me", "us", "work", "home", "office", "main", "direct", "ist", "est", "es", "è",
)  # fmt: skip
PHONE_FILLERS_UNSPACED = ("号码?", "是", "为", "番号", "は", "번호")
#: Words that make a number with separators one on the same line.
PHONE_WORDS = (
    "call", "cell", "reach", "reached", "contact", "ring", "office", "answering", "text me", "anruf", "anrufen", "rückruf", "appeler",
    "appelez", "appelle", "joindre", "llam(?:ar|a|e)", "llám[ae](?:me|nos)", "ligar", "ligue", "chiamare", "chiama", "bellen", "soita", "zadzwoń",
)  # fmt: skip
#: Words right before a number that say that it is another one.
PHONE_NOT_LABELS = (
    "order", "invoice", "ticket", "tracking", "shipment", "parcel", "receipt", "s/n", "serial", "batch", "lot",
    "isbn", "issn", "ean", "upc", "gtin", "sku", "cas", "doi", "pmid", "rfc", "patent", "ref", "reference", "id", "contract", "part", "model",
    "po", "key", "seq", "offset", "account", "acct", "iban", "vat", "version", "pages?", "pp", "rechnung", "auftrag", "bestellung", "vertrag",
    "kundennummer", "factura", "pedido", "facture", "commande", "fattura", "ordine",
)  # fmt: skip
#: Units after a number.
PHONE_UNITS = (
    "eur", "usd", "gbp", "inr", "rupees", "dollars", "euros?", "bytes?", "[kmgt]i?b", "km", "kg", "mm", "cm", "ms", "ns", "sec",
    "seconds", "minutes", "hours", "days", "years", "miles", "mhz", "ghz", "hz",
)  # fmt: skip
#: Regions whose numbers begin with 0 when dialled at home, and regions that print an area code in brackets.
PHONE_TRUNK_REGIONS = ("GB", "DE", "FR", "IN", "AU")
PHONE_BRACKET_REGIONS = ("US", "BR", "MX", "CO", "CL", "RU")
#: Numbers of digits in the groups that a region prints its other numbers in.
PHONE_GROUPS: dict[str, set[tuple[int, ...]]] = {
    "US": {(3, 3, 4), (1, 3, 3, 4)},
    "IN": {(5, 5)},
    "ES": {(3, 2, 2, 2)},
    "CN": {(3, 4, 4)},
}

URL = r"(?:https?://|\bwww\.)[^\s<>\"'`]{3,900}"

ADDRESS = (
    r"\b\d{1,5}[A-Za-z]?,? (?:(?:[A-Z][\w.'\-]{0,30}|\d{1,3}(?:st|nd|rd|th)) ){1,4}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Square|Terrace|Crescent|Close)\b"
)
ADDRESS_CONTEXT = (
    "my address",
    "live at",
    "lives at",
    "reside",
    "ship to",
    "send to",
    "deliver",
    "home address",
    "mail to",
)

#: A house number by itself; marks that an address and a name of a person do not have, but code and tables do. Marks that
#: leetspeak writes for letters are not among them, nor are its digits.
HOUSE_NUMBER = re.compile(r"(?<![\w.\-+#])\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?(?![\w%°]|[.\-]\d)")
NOT_ADDRESS = re.compile(r"[_=<>(){}\[\]\\+*~`;€£%:]|\d[.,]\d")
NOT_NAME = re.compile(r"[_=<>(){}\[\]\\+*~`;%:#\n\t,2689]|  ")
