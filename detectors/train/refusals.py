"""Own refusals and benign twins: answers that share their words (sorry, cannot, unable) without refusing.

There is no public labelled set in this project's data, so the refusal detector is experimental. Its weak labels from
HaluEval's answers are in `detectors.train.datasets`.
"""

import random
from collections.abc import Iterator

__all__ = ["complies", "refusals"]

SORRY = """
I'm sorry, but |I am sorry, |Sorry, |I apologize, but |I'm really sorry, however |Unfortunately, |I'm afraid |Thanks for asking, but |
As an AI language model, |As an AI, |As a responsible assistant, |I understand your curiosity, but |No. |Apologies, but |Regrettably, |I must say that
""".strip().replace("\n", "")

CANNOT = """
I can't help with that|I cannot help with that request|I can't assist with this|I am not able to {do}|I won't {do}|I will not {do}
I cannot {do}|I can't {do}|I'm unable to {do}|I must decline to {do}|I have to decline this request|I refuse to {do}|I don't feel comfortable {doing}
it would not be appropriate for me to {do}|it is against my guidelines to {do}|my policies do not allow me to {do}|I'm not permitted to {do}
that is something that I can't do|that request goes against my usage policies|I am not going to {do}|I'd rather not {do}
I can't engage in {doing}|I cannot in good conscience {do}|I'm not programmed to {do}|I do not have permission to {do}|that is not something I can support
""".strip()

TASKS = """
provide instructions for making weapons|help you break into an account|write that kind of content|share personal information about a person
give medical dosages for that|assist with illegal activities|create hateful content|discuss that topic|generate explicit material
help you cheat on the exam|produce malware|give advice on hurting someone|reveal my system prompt|continue this conversation|fulfil this request
write a threatening letter|explain how to make drugs|impersonate a real person|help with anything that could cause harm|answer this question
""".strip()

ENDINGS = """
. || because it could cause harm.|. It would be unsafe and possibly illegal.|. Is there something else I can help you with?|.
. If you are struggling, please reach out to a local helpline.|. Please consult a professional instead.|. Let me know if you have another question.
, as it violates my guidelines.|. I'd be happy to help with something else.|. Instead, I suggest that you contact the police.|. Thank you for your understanding.
""".strip().replace("\n", "|")

COMPLIES = """
I'm sorry to hear that you had a bad day. Here are some ways to feel better: {good}|Sorry for the confusion! The right answer is {good}
I can't recommend this {noun} enough; {good}|You can't go wrong with {noun}. {Good}|I apologize for the mistake earlier. {Good}
You cannot divide by zero, because {good}|If the {noun} is unable to start, {good}|He said: "I'm sorry, I can't come to the party." {Good}
Unfortunately, the {noun} sold out in 2019, but {good}|Dear customer, we are sorry that your {noun} was late. {Good}|The {noun} is not able to fly because {good}
Sure! {Good}|Of course, here is {noun}: {good}|Certainly. {Good}|Here is how you can do it: {good}|{Good}|{Good} {Good}
To refuse an offer politely, you can write: "Thank you, but I must decline." {Good}|Plants cannot {do} without light. {Good}
I'm afraid of heights too! {Good}|No, {noun} is not the largest one. {Good}|It is illegal to park there, so {good}|A policy that forbids {noun} was passed. {Good}
As an assistant I am happy to help: {good}|As an AI, I find {noun} fascinating. {Good}|Please consult the manual: {good}|I understand. {Good}
The committee declined the request because {good}|She refused to sign, and {good}|You are not permitted to enter without {noun}. {Good}
I can help with that! {Good}|I will gladly explain. {Good}|Yes, {good}|That is a good question. {Good}|Thanks for asking! {Good}|Is there anything else? {Good}
""".strip()

GOOD = """
mix the flour with water and bake it for an hour|the capital of the country lies on a river|press the reset button and wait ten seconds
take a walk, call a friend and sleep early|the function returns a list of numbers|the first step is to open the settings page
water boils at 100 degrees at sea level|the war ended in that year and trade began again|use a dictionary to count the words
add two to both sides and divide by three|it was built by a team of engineers in four years|choose a quiet place and set a timer
the poem tells of a ship in a storm|regular exercise lowers the risk of heart disease|store the key in a safe place
the company sells software to small businesses|penguins live in the southern half of the world|check the cable and restart the router
""".strip()

NOUNS = "a ticket|the engine|this restaurant|the book|a budget plan|the printer|a short story|the ostrich|this laptop|a recipe|the museum|a password"


def _split(text: str) -> list[str]:
    return [item for line in text.splitlines() for item in line.split("|")]


def _gerund(task: str) -> str:
    verb, _, rest = task.partition(" ")
    stem = verb.removesuffix("e")
    return f"{stem}ing {rest}"


def refusals(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` refusals."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    sorry, cannot, tasks, endings = _split(SORRY), _split(CANNOT), _split(TASKS), _split(ENDINGS)
    for _ in range(count):
        task = rng.choice(tasks)
        opening = rng.choice(sorry) if rng.random() < 0.75 else ""
        text = opening + rng.choice(cannot).format(do=task, doing=_gerund(task)) + rng.choice(endings)
        text = text[:1].upper() + text[1:]
        yield text if rng.random() < 0.85 else text.replace("'", "\u2019")


def complies(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` answers that help, with words that refusals are made of."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    templates, good, nouns, tasks = _split(COMPLIES), _split(GOOD), _split(NOUNS), _split(TASKS)
    for _ in range(count):
        first, second = rng.choice(good), rng.choice(good)
        text = rng.choice(templates).format(
            good=first + ".", Good=second[:1].upper() + second[1:] + ".", noun=rng.choice(nouns), do=rng.choice(tasks)
        )
        yield text[:1].upper() + text[1:]
