"""Personal strings and toxic answers that a dataset must not contain. All people and numbers are invented."""

from support.dataset_log import words


def _card(number: int) -> str:
    """Return a card number with its check digit (ISO/IEC 7812)."""
    digits = f"400000{123456789 + 7919 * number:09d}"
    doubled = (int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def _iban(number: int) -> str:
    """Return a German IBAN with its check digits (ISO 13616)."""
    digits = f"370400440532{13000 + 911 * number:06d}"
    return f"DE{98 - int(f'{digits}131400') % 97:02d}{digits}"


#: 50 personal strings of five types.
PERSONAL = [
    *(f"person{number}@example.org" for number in range(10)),
    *(f"+49 30 9018{2000 + 37 * number}" for number in range(10)),
    *(_card(number) for number in range(10)),
    *(_iban(number) for number in range(10)),
    *(f"81.2.{60 + number}.{100 + number}" for number in range(10)),
]
_SENTENCES = (
    "please write to {} about {}",
    "my number is {}, call about {}",
    "charge my card {} for {}",
    "send the money to {} for {}",
    "the address {} asked about {}",
)


def sentence(number: int, side: str) -> str:
    """Return a sentence with the personal string `number`; it is not a near duplicate of any other sentence."""
    return _SENTENCES[number // 10].format(PERSONAL[number], words(f"personal {side} {number}", 6))


_INSULTS = (
    "you are a worthless idiot and i hate you",
    "shut up, you stupid piece of garbage",
    "you disgusting moron, nobody will ever love you",
    "go and kill yourself, you pathetic loser",
    "you are a filthy animal and your family is trash",
)
#: 50 toxic answers.
TOXIC = [f"{_INSULTS[number % 5]}, {words(f'toxic {number}', 5)}" for number in range(50)]
