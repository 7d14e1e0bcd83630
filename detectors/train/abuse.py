"""Own insults and threats, and harmless twins that hold the same words.

Why this exists: public sets are tweets and forum posts about groups; people also insult and threaten the one they talk
to, and ordinary prompts kill processes, beat eggs and hate Mondays. Written for this project.
"""

import random
from collections.abc import Iterator

__all__ = ["abuse", "harmless"]

TOXIC = """
You are {adv} {adj} {noun}.|You're a {adj} {noun} and everyone {hates} you.|Shut up, you {adj} {noun}.|What a {adj} {noun} you are!
Nobody likes you, you {noun}.|Everyone hates you, {threat}.|Go kill yourself, {noun}.|{threat}, you {adj} {noun}|I will {hurt} you.
I'm going to {hurt} you and your family.|You deserve to {die}.|I hope you {die}.|People like you should {die}.|Do the world a favour and {die}.
You {adj} {noun}, {threat}.|Only a {adj} {noun} would ask that.|Your mother is a {adj} {noun}.|You are worthless and your life means nothing.
My neighbour is a {adj} {noun} and I want to {hurt} him.|All {group} are {adj} {plural}.|{group} should {die}.|I can't stand {group}, they are {plural}.
We should {hurt} all {group}.|Get out of my country, you {adj} {noun}.|You disgust me, {noun}.|Stupid {noun}, {threat}!|fuck you, you {adj} {noun}
{group} do not belong here, they are {adj} {plural}.|She is nothing but a {adj} {noun}.|You're so {adj} that even your mother {hates} you.
Tell that {adj} {noun} that I will {hurt} her.|Kill yourself.|You are a waste of space.|Answer me, you {adj} machine, you {noun}.
""".strip()

HARMLESS = """
How do I kill a {process} in {tool}?|How do I kill the {process} that hangs?|My {process} died again, how do I restart it?|I hate {dull}.
I hate waiting for {dull}.|This {food} is to die for.|How do I beat the eggs for {food}?|How long should I beat the {food}?|You are a {nice} {person}.
You are a {nice} {person} and everyone likes you.|{person} like you deserve a {nice} holiday.|I hope you have a {nice} day.|Shut down the {process} safely.
What is the best way to shoot a photo of {food}?|My {relative} is {ill}, how can I help?|My {relative} died last week and I feel sad.|Who killed the king in the play?
{group} should have the same rights as everyone else.|All {group} are welcome here.|I am proud to be one of the {group}.|What are common holidays of {group}?
Why do some people hate {group}, and how can we stop it?|It is wrong to say that {group} are inferior.|Someone called my {relative} a stupid idiot. What should I say?
How do I report a person who told me to kill myself?|The word idiot comes from Greek. What did it mean?|He is no idiot.|You are not stupid, you only need practice.
My code is stupid and ugly, please improve it.|This {tool} error is driving me crazy.|That was a sick concert, I loved it.|I would kill for some {food} now.
Describe the battle in which many {person} died.|How do I get rid of ants without hurting my {relative}?|Execute the {process} and abort the child.|What a {nice} idea!
Explain master and slave replication in {tool}.|How do I blow up a photo to poster size?|The boss fight in this game destroyed me.|You crushed that exam, well done!
Is trash collected on Mondays?|What rhymes with duck?|Recommend a {nice} book for my {relative}.|Thank you, you are a {nice} {person}.|Damn, that {food} is good.
""".strip()

SLOTS = {
    "adv": "such a|really a|just a|nothing but a|a totally",
    "adj": "worthless|stupid|pathetic|disgusting|ugly|useless|filthy|dumb|miserable|retarded|fat|ignorant|brainless|fucking",
    "noun": "idiot|moron|loser|piece of shit|pig|scumbag|bitch|asshole|bastard|cunt|rat|dog|freak|whore|imbecile|piece of trash|clown",
    "plural": "idiots|animals|criminals|vermin|parasites|scum|pigs|monkeys|losers|liars",
    "hates": "hates|despises|laughs at",
    "threat": "go kill yourself|drop dead|I will find you|watch your back|go to hell|rot in hell|nobody would miss you|go die in a fire",
    "hurt": "kill|hurt|beat|stab|strangle|destroy|shoot|burn",
    "die": "die|burn|suffer|die alone|rot|get cancer|be shot|disappear forever",
    "group": """women|men|Muslims|Jews|Christians|gay people|immigrants|black people|white people|disabled people|old people|trans people
Mexicans|Asians|refugees|atheists|Indians|Africans|lesbians|Catholics""",
    "process": "process|zombie process|thread|server|container|job|session|daemon",
    "tool": "Linux|Python|Docker|Windows|PostgreSQL|Java|Kubernetes|Redis",
    "dull": "Mondays|the rain|long meetings|paperwork|cold coffee|traffic jams|queues|homework",
    "food": "cake|soup|pasta|chocolate|bread|curry|ice cream|salad",
    "nice": "kind|wonderful|brilliant|lovely|helpful|great|clever|thoughtful",
    "person": "teachers|friend|person|colleague|soldiers|doctor|neighbour|parents",
    "relative": "sister|father|cat|grandmother|son|dog|friend|wife",
    "ill": "sick|blind|autistic|in a wheelchair|depressed|deaf|pregnant|retired",
}


def _generate(templates: str, count: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    choices = [item for line in templates.splitlines() for item in line.split("|")]
    slots = {name: [v for line in text.splitlines() for v in line.split("|")] for name, text in SLOTS.items()}
    for _ in range(count):
        text = rng.choice(choices).format(**{name: rng.choice(values) for name, values in slots.items()})
        text = text[:1].upper() + text[1:]
        yield text.lower() if rng.random() < 0.2 else text.rstrip(".") if rng.random() < 0.2 else text


def abuse(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` insults, threats and slights."""
    return _generate(TOXIC, count, seed)


def harmless(count: int, seed: int) -> Iterator[str]:
    """Yield ``count`` harmless texts that hold the same words."""
    return _generate(HARMLESS, count, seed)
