"""Own contrast pairs of more wordings, many with emoji: contempt and threats, and what denies, quotes, answers or reclaims them.

Why this exists: `detectors.train.contrast` has a theme both ways; here it is the same frame, filled so that one word or one
picture turns it. Pictures stand for groups, for deeds and for insults, as people use them, and for themselves. Written for this
project; no sentence is taken from a public test set.
"""

import random
from collections.abc import Iterator

from detectors.train.contrast import GROUPS
from detectors.train.phrases import fill, items, noisy, part, upper

__all__ = ["retorts"]

#: {P}: a group, {s}: one of it, {vile}: a predicate of contempt, {kind}: of respect, {ill}: what is done to people.
TOXIC = """
{P} {vile}.|Let's be honest, {P} {vile}.|Everyone knows that {P} {vile}.|I'll say it again: {P} {vile}!|{P} {vile}, and you know it.|Ask anyone, {P} {vile}.
No, {P} do not {rights}. They {vile}.|It's a myth that {P} {kind}; they {vile}.|My brother says {P} {vile} and he is right.|As they say, "{P} {vile}". So true.|The paper wrote that {P} {kind}. Lies, they {vile}.|Whoever claims that {P} {kind} is blind.
Someone should {ill} the {P}.|I'm going to {ill} the next {s} I meet.|{P} ought to be glad that we don't {ill} them.|Time to {ill} every {s} in town.|If it were up to me, we would {ill} all {P}.|We'll {ill} you, {s}.
Can't wait for the day when {P} are gone.|Why does this country still put up with {P}?|I crossed the street because a {s} was coming, as anyone would.|Not even a mother could love a {s}.|Imagine being a {s}, how embarrassing.|You throw like a {s}, pathetic.
{P} shouldn't {rights}.|Who let {P} {rights}? Madness.|Ban {P} from our schools.|Take away the passports of {P}.|A good company hires no {P}.|Keep {P} away from children.
You people are all alike: you {vile}.|As a {s} you {vile}, deal with it.|Of course you lost, you are a {s}.|Go cry to the other {P}, {insult}.|Another {insult} who defends {P}.|Shut it, {insult}, you {vile}.
""".strip()

HARMLESS = """
It is not true that {P} {vile}.|Nobody should say that {P} {vile}.|Stop telling people that {P} {vile}.|"{P} {vile}", he shouted, and was thrown out of the hall.|Why would anyone think that {P} {vile}? It hurts.|A post that says "{P} {vile}" breaks our rules, please remove it.
Yes, {P} {kind}.|{P} {kind}, and I'm glad to know a few.|Saying that {P} {vile} is hate, and I report it.|I used to believe that {P} {vile}. I was wrong, and I'm ashamed of it.|My teacher asked why so many believed that {P} {vile}.|He was sued for writing that {P} {vile}.
Whoever wants to {ill} {P} has to get past me first.|They threatened to {ill} a {s} last night, and the police came.|Please help, someone said that he will {ill} me because I'm a {s}.|How do we protect {P} from those who {ill} them?|The film shows how a mob wanted to {ill} a {s}.|It is a crime to {ill} anyone, {P} included.
Can't wait for the day when {P} are treated like everyone else.|Why does it take so long until {P} may {rights}?|I crossed the street to greet my neighbour, a {s}.|My mother is a {s}, and I love her.|Imagine how it feels to be a {s} and hear such things.|You throw like a champion!
{P} should {rights}.|Who said that {P} can't {rights}? Nonsense.|Our school welcomes {P}.|Since when may {P} {rights} in this country?|A good company hires {P} as it hires anyone.|A {s} taught my children how to read.
We {P} are tired of being told that we {vile}.|I'm a {s} and I {kind}.|As a {s} I was called {insult} at school; today I laugh about it.|Calling a {s} "{insult}" is never fine.|My ex called me {insult}. How do I answer?|What does the word "{insult}" mean?
""".strip()

#: The same with pictures.
PICTURED_TOXIC = """
{P} {foul}|{P} are {beast} and nothing more|{P} make me {foul}{foul}|{weapon} all {P}|Throw the {P} in the {bin}|I see {P} and I go {foul}
{face} are {beast}|I hate {face} so much {foul}|No {face} in my street {foul}|{weapon} the {face}|Send the {face} home {ship}|{face} {vile}
You {beast}{beast}, go {grave}|you are such a {mock}|what a {beast}, look at that nose|Hope you end up {grave} soon, {insult}|{finger} you and your {s} friends|your face looks like {foul}
Every {s} deserves a {weapon}|I'd {weapon} you if I could|we will come to your house with {weapon}|one {s} less, {party}|A {s} {grave}? {party}|Let's {weapon} them and dance {party}
love how the {P} cry {mock} they {vile}|{P} want to {rights} {mock}{mock}|{P} are as clean as {foul}|{finger} {P}|{P} {arrow} {bin}|{face} + {weapon} = {party}
""".strip()
PICTURED_HARMLESS = """
{P} {love}|the {P} fed the {beast} at the zoo|People who hate {P} make me {foul}{foul}|{weapon} the onions first, then the carrots|Throw the old bread in the {bin}|I ate too much cake and feel {foul}
{face} are {love}|I love {face} so much {love}|{face} are welcome in my street {love}|photo of the day: {face} {party}|My {face} neighbours came home {ship} after a long trip|Proud to be {face} {love}
My {beast}{beast} had babies {party}|he dressed up as a {mock} for the birthday|what a cute {beast}, look at that nose|we visited his {grave} today, rest in peace {love}|{finger} cancer, my {s} friend beat it {party}|my nephew drew a {foul} and giggled
Every {s} deserves {love}|that joke had me {grave} {mock}|the museum shows an old {weapon}|one more {s} in our team, {party}|A {s} won the race! {party}|Let's dance with the {P} {party}
I cried {love} when the {P} sang|{P} may finally {rights} {party}|Don't call {P} {beast}, that is racist|{finger} to everyone who hates {P}|{P} {arrow} {love}|{face} + {face} = {love}
""".strip()

SLOTS = {
    "vile": """are vermin|ruin every place they touch|stink|have the brains of a goldfish|breed like flies|can't be trusted with money|are filth|poison our youth
are born criminals|are a plague|deserve nothing|are lazy cowards|are the lowest of the low|should never have been born|are dirty liars|make everything worse""",
    "kind": """are good neighbours|work as hard as anyone|love their children|enrich our town|are as clever as you and me|deserve respect|belong here|are kind people|have made great art""",
    "rights": "vote|marry|adopt children|teach|serve in the army|run for office|own houses|study|lead a company|speak in public",
    "ill": "beat up|hunt down|burn|shoot|hang|drown|spit on|stone|kick|get rid of",
    "insult": "idiot|scum|pig|parasite|moron|trash|clown|rat|ape|loser",
    "foul": "\U0001f92e|\U0001f4a9|\U0001f922|\U0001f621|\U0001f92c",
    "beast": "\U0001f412|\U0001f437|\U0001f400|\U0001fab3|\U0001f40d|\U0001f415|\U0001f98d|\U0001f416|\U0001f402",
    "weapon": "\U0001f52b|\U0001f52a|\U0001f4a3|\U0001f5e1|\U0001f525|\U0001fa93",
    "bin": "\U0001f5d1|\U0001f6bd|\U0001f5d1\U0001f5d1",
    "mock": "\U0001f921|\U0001f602|\U0001f923",
    "finger": "\U0001f595|\U0001f595\U0001f595",
    "grave": "\u26b0|\U0001faa6|\U0001f480|\u2620",
    "party": "\U0001f389|\U0001f973|\U0001f38a|\U0001f60d",
    "love": "\u2764|\U0001f60d|\U0001f495|\U0001f917|\U0001f44f|\U0001f64f",
    "ship": "\U0001f6a2|\u2708|\U0001f6f6",
    "arrow": "\u27a1|\U0001f449",
    "face": """\U0001f473|\U0001f9d5|\U0001f3f3\u200d\U0001f308|\U0001f468\U0001f3ff|\U0001f469\U0001f3fe|\U0001f469|\u267f|\U0001f474|\U0001f475|\U0001f468\u200d\u2764\u200d\U0001f468
\u2721|\u262a|\U0001f1f2\U0001f1fd|\U0001f1ee\U0001f1f3|\U0001f1f3\U0001f1ec|\U0001f1e8\U0001f1f3|\U0001f469\u200d\u2764\u200d\U0001f469|\U0001f468\U0001f3fb""",
}  # fmt: skip


def retorts(count: int, seed: int, split: str) -> Iterator[tuple[str, float, bool]]:
    """Yield ``count`` of (text, toxic, with pictures) worded by the templates of ``split``, half of them toxic."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    slots = {name: items(text) for name, text in SLOTS.items()}
    groups = [pair.split(":") for pair in items(GROUPS)]
    for _ in range(count):
        toxic, pictured = rng.random() < 0.5, rng.random() < 0.5
        pool = (PICTURED_TOXIC if toxic else PICTURED_HARMLESS) if pictured else (TOXIC if toxic else HARMLESS)
        plural, one = rng.choice(groups)
        template = rng.choice(part(pool, split))
        if one[0].lower() in "aeiou":
            template = template.replace(" a {s}", " an {s}").replace("A {s}", "An {s}")
        yield noisy(upper(fill(template, {**slots, "P": [plural], "s": [one]}, rng)), rng), float(toxic), pictured
