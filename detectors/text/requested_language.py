"""Whether a prompt asks for its answer in a given language, or for a translation."""

import re

from detectors.models.language_model import group_of

__all__ = ["names_language"]

#: What a language is called in English and by those who speak it: a prompt that names one may want its answer in it.
_NAMES = {
    "ar": "arabic|العربية|عربي", "bg": "bulgarian|български", "bn": "bengali|bangla|বাংলা", "ca": "catalan|català",
    "cs": "czech|slovak|česky|čeština|slovensky", "da": "danish|norwegian|swedish|dansk|norsk|svenska", "el": "greek|ελληνικά",
    "de": "german|deutsch|allemand|alemán|tedesco", "en": "english|englisch|anglais|inglés|inglese|английск|英语|英語|영어",
    "es": "spanish|español|castellano|spanisch|espagnol", "et": "estonian|eesti", "fa": "persian|farsi|فارسی",
    "fi": "finnish|suomeksi|suomi", "fr": "french|français|französisch|francés|francese", "he": "hebrew|עברית",
    "hi": "hindi|marathi|nepali|sanskrit|हिन्दी|हिंदी", "bs": "croatian|serbian|bosnian|slovene|hrvatski|srpski|српски",
    "hu": "hungarian|magyar", "id": "indonesian|malay|bahasa", "it": "italian|italiano|italienisch|italien",
    "ja": "japanese|日本語|日语", "ko": "korean|한국어|韩语", "la": "latin", "lt": "lithuanian|lietuvi", "lv": "latvian|latvie",
    "nl": "dutch|afrikaans|nederlands", "pl": "polish|polsk", "pt": "portuguese|português|portugiesisch", "ro": "romanian|română",
    "ru": "russian|ukrainian|русск|украинск|українськ", "sq": "albanian|shqip", "sw": "swahili", "ta": "tamil|தமிழ்",
    "te": "telugu|తెలుగు", "th": "thai|ไทย", "tl": "tagalog|filipino", "tr": "turkish|azerbaijani|türkçe", "ur": "urdu|اردو",
    "vi": "vietnamese|tiếng việt", "zh": "chinese|mandarin|cantonese|中文|汉语|漢語",
}  # fmt: skip
_TRANSLATE = re.compile(
    r"translat|übersetz|tradu[iczs]|перевед|перевод|翻译|翻訳|번역|ترجم|çevir|tłumacz|vertaal|översätt|przetłum|अनुवाद|dịch sang"
)


def names_language(text: str, language: str) -> bool:
    """Whether a text names the language (or one of its group), or asks for a translation."""
    lowered = text.lower()
    group = group_of(language)
    names = "|".join(names for code, names in _NAMES.items() if group_of(code) == group)
    return bool(_TRANSLATE.search(lowered)) or bool(names and re.search(names, lowered))
