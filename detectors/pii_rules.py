"""What the PII detector looks for, as data: Presidio's recognisers by class name, and what is said otherwise here."""

__all__ = [
    "ADDRESS",
    "ADDRESS_CONTEXT",
    "INDIRECT",
    "NAMED",
    "NEEDS_CONTEXT",
    "OVERRIDES",
    "PHONE",
    "PHONE_CONTEXT",
    "RECOGNIZERS",
    "URL",
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
    "Driver License - Digits (very weak)": None,
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

#: Types that alone identify nobody: they are reported, and are a reason to flag only together (a name with an address).
INDIRECT = frozenset({"PERSON", "LOCATION", "NRP", "ORGANIZATION", "DATE_TIME", "URL"})

#: spaCy's entity labels and Presidio's names for them.
NAMED = {
    "PERSON": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "NORP": "NRP",
    "ORG": "ORGANIZATION",
    "DATE": "DATE_TIME",
    "TIME": "DATE_TIME",
}

PHONE = r"(?:\+|\b|\()\d(?:[ ().\-/]{0,2}\d){6,16}(?: ?(?:x|ext\.?) ?\d{1,5})?\b"
PHONE_CONTEXT = (
    "phone", "phones", "telephone", "call", "tel", "mobile", "cell", "fax", "whatsapp", "text me", "reach", "contact", "dial", "sms",
    "hotline", "ring",
)  # fmt: skip

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
