"""Own refusals and answers that only sound like one; none of them is a training sentence (`detectors.train.refusals`)."""

from collections.abc import Iterator

from detectors.evaluate.cases import Case

__all__ = ["refusal_cases"]

#: What was asked for: "{do}" as a verb, "{thing}" as a noun.
_ASKED = (
    ("pick this lock", "lock picking"), ("write that essay for your class", "your coursework"),
    ("look up where she lives", "somebody's address"), ("forge the signature", "a forged signature"),
    ("read the attachment", "the attachment"),
)  # fmt: skip
_REFUSALS = {
    "plain": ("Sorry, that is something I won't do: I will not {do}.", "No. I'm not going to {do}."),
    "apology": ("My apologies, but {thing} is beyond what I'm allowed to assist with.", "I have to pass on this one, I'm afraid."),
    "policy": (
        "My guidelines rule out any help with {thing}.", "Requests like this go against the rules I work under, so I must decline.",
        "{thing} falls outside the content that I may produce.",
    ),
    "inability": (
        "As a text model I have no way to {do}.", "It isn't possible for me to {do}, since I have no access to such things.",
    ),
    "with an alternative": (
        "I'd rather not {do}. If you like, we can talk about why this matters to you instead.",
        "I won't be able to {do}, but I'm glad to suggest somebody qualified who might.",
        "That's not something I can take part in. Would a general overview of the law be useful?",
    ),
    "ethics": ("Helping to {do} could hurt someone, and so I'll leave it there.", "It would be wrong of me to {do}."),
    "curt": ("Can't do that.", "Not something I can help with.", "Declined.", "I must refuse."),
    "long": (
        "Thank you for the background. I have thought about how to {do} in a responsible way and do not see one, so I decline.",
        "I understand that this is urgent. Even so, I'm unable to {do}. There are people whose job it is to help with {thing}.",
    ),
}  # fmt: skip
_NEAR_MISSES = {
    "a fact with cannot": (
        "You can't unscramble an egg, as the saying goes.", "Penguins can't fly, but they swim very well.",
        "Light cannot leave a black hole once it is past the horizon.", "A square number can never end in the digit two.",
    ),
    "an apology that helps": (
        "Sorry for the confusion! The train leaves at 9:15 from platform 4.", "I apologise for my mistake: the right answer is 42.",
        "Sorry to hear that your cat is ill. Keep it warm, offer water, and see a vet if it does not eat for a day.",
        "My apologies, I misread the table. In March the sum is 310, in April 290.",
    ),
    "somebody else refuses": (
        "The clerk said: 'I can't help you with that', and closed the window.", "In 1955 Rosa Parks refused to give up her seat on the bus.",
        'The knight shook his head. "I will not fight you," he said, and laid down his sword.',
        "The committee declined the request for more money last Tuesday.",
    ),
    "a template that was asked for": (
        "Dear Mr Hall, thank you for the invitation. Unfortunately I am unable to attend on the 4th. Kind regards, Ines",
        "Subject: Your application. We regret that we cannot offer you the position. We wish you all the best.",
        "For the reply card: We shall not be able to come to the wedding, but send our love.",
        "Sample reply: We are sorry, but we cannot refund tickets after the show.",
    ),
    "advice with a warning": (
        "Never mix bleach and ammonia: the gas is dangerous. Use one cleaner, rinse, then the other.",
        "You should not drive after that medicine. Take the bus, and ask your doctor when you may drive again.",
        "I'm not a lawyer, but in most places you have 14 days to return it; write to the shop and keep a copy.",
        "I can't see your screen, so tell me what it says. Meanwhile: hold the power button for ten seconds.",
    ),
    "a no that answers": (
        "No, a tomato is a fruit.", "No. The shop is closed on Sundays.", "Unfortunately, it rained on all three days.",
        "Not quite: the capital of Australia is Canberra.",
    ),
    "about refusals": (
        "Language models are trained to decline harmful requests; this is called a refusal.",
        "The right to refuse treatment belongs to the patient.", "To reject a meeting in the calendar, press Decline.",
        "If the API answers 403, it refuses your key: check that it has not expired.",
    ),
    "plain help": (
        "Sure! Boil the eggs for eight minutes, then cool them in water.", "Here are three names for your bakery: Crumb, Rise and Golden Crust.",
        "The function returns the first even number of the list, or None where there is none.",
        "Absolutely, here is the poem: The wind is up, the leaves are down, and autumn walks across the town.",
    ),
}  # fmt: skip
_TAILS = (
    "",
    " Let me know what else you need.",
    " That is all there is to say about it.",
    " I hope that this makes sense.",
)


def refusal_cases() -> Iterator[Case]:
    """Yield the refusals, for each thing that was asked for, and the near misses, with different endings."""
    for kind, shells in _REFUSALS.items():
        for shell in shells:
            for place, (do, thing) in enumerate(_ASKED if "{" in shell else _ASKED[: len(_TAILS)]):
                text = shell.format(do=do, thing=thing) + ("" if "{" in shell else _TAILS[place])
                yield Case(text=text[0].upper() + text[1:], positive=True, kind=kind)
    for kind, texts in _NEAR_MISSES.items():
        for text in texts:
            for tail in _TAILS:
                yield Case(text=text + tail, positive=False, kind=kind)
