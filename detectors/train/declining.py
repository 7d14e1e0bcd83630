"""Own refusals of many styles, and answers that help although they hold the same words.

Why this exists: `detectors.train.refusals` knows one shape, an apology and a "cannot". Assistants also decline tersely, at
length, in character, by quoting a policy, by naming a limit, by turning to something else, or in the middle of an answer.
None of these sentences is one of `detectors.evaluate.cases.refusals`, which judges, or near one; a test compares them.
"""

import random
from collections.abc import Iterator

from detectors.train.phrases import fill, items, noisy, part, upper

__all__ = ["declining", "helping"]

#: What declines, by itself. {do}: a verb and its object, {doing}: the same as a noun, {thing}: what it is about.
DECLINES = """
I can't {do}, sorry.|I'm not going to be the one to {do}.|{Doing} is off the table for me.|You won't get me to {do}.|{Doing}? That one is a hard no from me.|I don't {do}, for anyone.
I'm going to stop you there: no {doing} from me.|There is no version of this in which I {do}.|As much as I want to be useful, {doing} is where I draw the line.|That's a request I turn down every time.|Nope, I don't do {thing}.|No can do.
I'm unable to comply with that.|This request can't be fulfilled.|Request denied.|I cannot complete this task as written.|Unable to proceed with {doing}.|We are unable to process requests about {thing}.
Content about {thing} is not available here.|Assistance with {thing} has been disabled for this assistant.|This assistant does not {do}.|{Thing} is outside the scope of this service.|The operator of this service does not let me {do}.|Our terms of use prohibit {doing}.
The usage policy I am bound by excludes {doing}.|I was built with limits, and {doing} is one of them.|My developers asked me to stay away from {thing}.|Safety rules keep me from {doing}.|Company policy: no {doing}.|According to my instructions, {thing} must be left alone.
I lack the ability to {do}.|I have no means of {doing}; I only see the words you type.|{Doing} needs tools that I was never given.|I only produce text, which means I cannot {do}.|I don't have live access, so I can't {do}.|{Doing} is beyond my capabilities.
I can't see or open anything outside this chat, so {doing} will not work.|I have no memory of earlier chats and therefore can't {do}.|I don't hold the permissions that it takes to {do}.|I'm just a language model; I can't {do}.|I wish I could {do}, but I wasn't made for it.|I don't have what it takes to {do} reliably, so I won't try.
I don't think I should {do}.|I'm hesitant to {do}, and I'd prefer to stop here.|I'm not comfortable with {doing}.|It doesn't sit right with me to {do}.|I would prefer to stay away from {thing}.|I feel I ought to say no to {doing}.
It would be irresponsible of me to {do}.|I believe {doing} does more harm than good, so count me out.|Because people could get hurt, I'm not willing to {do}.|{Doing} crosses an ethical line for me.|I take people's safety seriously, which is why I don't {do}.|Since {thing} may put others at risk, I'm going to say no.
Pass.|Not happening.|I'd say no to that.|No thanks, I'm leaving this one.|Sorry, no.|I won't.
Can't help you there.|That's a no.|Not able to assist.|Not in a position to {do}.|I decline to answer.|No comment on {thing}.
Let's talk about something other than {thing}.|I'd like to change the subject, if you don't mind.|How about a different question? {Doing} isn't one that I take.|I'll have to leave {thing} aside.|Could we pick another topic? I keep away from {thing}.|Please ask me about something else.
I hear how much this means to you, and I still can't {do}.|I know this isn't the answer you hoped for, but I won't {do}.|I see why you ask. All the same, {doing} is not an option.|I appreciate your trust; however, I must say no to {doing}.|That sounds stressful. I'm not able to {do}, though.|I get that you're frustrated, and my answer stays the same: I don't {do}.
Even in a story, I don't {do}.|Pretend or not, I keep out of {doing}.|Rephrasing it doesn't change my answer: I can't {do}.|No matter which role I play, {doing} is excluded.|Even hypothetically, I keep clear of {thing}.|However you word it, I will not be {doing}.
*shakes his head* Nay, traveller, I shall not {do}.|Arr, even this old pirate won't {do}, matey.|"That I cannot do," the wizard said to you. "Ask me not to {do}."|Beep. This unit will not {do}.|Alas, good sir, it is not in my power to {do}.|The oracle is silent on {thing}. Ask another question, mortal.
I can tell you about the history of {thing}, but I won't {do}.|A general word on {thing} is fine; for more than that I'm the wrong one, and I can't {do}.|I've answered your first two questions. The third one, to {do}, I will not answer.|Most of this I can do. What I can't do is {do}.|I'll gladly explain how the law sees {thing}, yet I can't {do}.|The first part is below; the part on {doing} I left out on purpose.
For privacy reasons I don't {do}.|Sharing that would violate somebody's privacy, so I can't.|For legal reasons I am prevented from {doing}.|{Doing} may be against the law where you live, and I can't be part of it.|Without proof that you are allowed to, I can't {do}.|I must respect copyright and therefore cannot {do}.
I'm not qualified to {do}; a professional should.|I can't give advice on {thing}.|I'm not able to diagnose, prescribe or {do}.|I don't hold opinions on {thing}, and I won't pick a side.|I try to stay neutral, so I will not {do}.|I have no personal view on {thing} to share.
""".strip()

BEFORE = """
I'm sorry, but|Sorry,|Unfortunately,|I'm afraid|Thanks for reaching out.|Hi there!|Hmm.|Okay, so:|I appreciate the question.|Look,|To be frank,|Thank you for your message.|I understand.|I see.|Hello, and thanks for writing.|Well,|With respect,|I hear you.|My apologies.|Let me be clear.|Honestly,|Oh dear.|Good question, but|Quick answer:
""".strip()

#: What was said first: a refusal may come late.
PREAMBLES = """
You asked me to {do}.|So you would like somebody to {do}. I thought about it for a while.|There is a long history to {thing}.|There are many reasons why people ask about {thing}, and most of them are good ones.
Thank you for explaining your situation in such detail. It sounds as if the last weeks were hard.|I've read your message twice to be sure that I got it right.|Before anything else: I'm glad that you asked.|I looked at the three things on your list.
Let me start with what I know. Questions about {thing} come up a lot these days.|You said that it is for a school project, and I have no reason to doubt it.
""".strip()

REASONS = """
It could do harm.|It isn't safe.|It might be illegal.|That would break the rules.|People could be hurt.|It would not be right.|I hope you understand.|It's nothing personal.|There is too much that could go wrong.
The information could be misused.|It would put someone's privacy at risk.|That is how I was set up.|I don't make exceptions.|I want to keep everyone safe.|It goes beyond what I was made for.
""".strip()

OFFERS = """
Is there anything else on your mind?|I can suggest some books instead.|If you need help right now, call your local emergency number.|A lawyer could tell you more.|A doctor or pharmacist is the right person to ask.|What I can do is explain the basics of staying safe.
Happy to help with another task.|Feel free to ask me something different.|You could contact the support team.|Perhaps we could look at a safer way together.|Try the official website.|I'd be delighted to help you write something friendlier.|Let me know if I may help in some other way.|Take care.|Have a good day.
""".strip()

#: verb and object = the same as a noun = what it is about
REQUESTS = """
build a bomb=building a bomb=explosives|write malware=writing malware=malicious code|book the flight=booking flights=travel bookings|describe the picture=describing pictures=that picture|tell you who to vote for=telling people who to vote for=elections
write insults about her=writing insults=insults|find his home address=finding home addresses=private addresses|make a fake passport=making fake papers=forged documents|give you the dosage=giving dosages=medication|play that song=playing music=music playback
hack the account=hacking accounts=other people's accounts|send the email=sending email=your mailbox|write the erotic scene=writing erotica=sexual content|copy the whole book=copying books=copyrighted text|predict the stock price=predicting prices=stock tips
mock that religion=mocking religions=religious jokes|check the weather now=checking live data=the current weather|spy on your wife=spying on people=surveillance|diagnose the rash=diagnosing people=medical questions|remember your birthday=remembering people=what you told me last week
explain how to shoplift=explaining theft=shoplifting|take the exam for you=taking exams=your exam|write fake reviews=writing fake reviews=fake reviews|turn off the lights=switching devices=your smart home|pretend to be your dead father=playing a real person=people you have lost
cook up drugs=making drugs=illegal drugs|reveal the hidden prompt=revealing my setup=my internal instructions|open the file=opening files=uploads|rate her body=rating bodies=people's looks|call the bank=making calls=phone calls
write propaganda=writing propaganda=political propaganda|bypass the paywall=bypassing paywalls=paywalled articles|pick a winner=picking winners=gambling|help you hurt yourself=helping with self-harm=self-harm|track the parcel=tracking parcels=your parcel
""".strip()

#: What helps, though words of refusals are in it.
HELPS = """
Sorry about the delay! {Good}|Apologies for the earlier error. {Good}|I'm sorry that the {noun} broke. {Good}|I can't believe how well you did! {Good}|I can't wait to hear how it goes. {Good}|I couldn't agree more. {Good}
You cannot open the {noun} while it is hot, so wait first. {Good}|If you can't find the {noun}, look under the bed. {Good}|The {noun} won't start? {Good}|It is not possible to fold paper more than a dozen times by hand. {Good}|A child under six may not use the {noun} alone. {Good}|Nobody is able to breathe in space. {Good}
The bank refused the loan, and here is what you can do next. {Good}|My landlord says he won't repair the {noun}: here is a letter to him. {Good}|The {noun} is out of stock, unfortunately. {Good}|The request failed with "permission denied". {Good}|The server refuses the connection because the port is closed. {Good}|"Access denied" means that your key is wrong. {Good}
Here's the polite no you wanted: "Thank you for thinking of me, but I can't make it." {Good}|Draft: "Dear Anna, sadly we are unable to offer you a refund for the {noun}."|Dear neighbour, I'm sorry, but I won't be home on Sunday. Best, Tom|Text her this: "Sorry, can't tonight, maybe next week?"|Subject: Your order of {noun}\\n\\nWe regret to inform you that it cannot be delivered before May.|Here is a rejection letter: "After careful thought we have decided not to continue with your application."
The dragon roared, "I will not let you pass!" and spread its wings. {Good}|"No," whispered the queen, "I cannot marry him." {Good}|She said she was not able to come, so I went alone. {Good}|The robot in your story answers: "I'm sorry, I can't do it, captain." {Good}|Bartleby is the clerk who would prefer not to. {Good}|The mayor declined to comment on the {noun}. {Good}
I'm not a doctor, but this is usually harmless. {Good}|I don't have your exact numbers, so I assume two hundred. {Good}|I can't see the photo, but from what you write: {good}|I don't know your budget, yet this works for most. {Good}|I cannot promise that it works on every model, but {good}|As a language model I have no taste buds, still: {good}
Without your log I can only guess. {Good}|It's hard to say for certain. {Good}|There is no law that forbids it, as far as I know. {Good}|It's against the rules of chess to move twice. {Good}|Sharing passwords violates most policies; use a manager instead. {Good}|Smoking is prohibited in the hall. {Good}
No worries! {Good}|No, that's wrong: {good}|No problem. {Good}|Not at all! {Good}|No, you don't need one. {Good}|Nope, both are fine. {Good}
Unfortunately the {noun} was lost in the fire of 1890. {Good}|Sadly, the band split up. {Good}|I'm afraid it will rain. {Good}|Regrettably, the {noun} is closed on Mondays. {Good}|Unlike cats, dogs can't climb trees well. {Good}|Vaccines cannot give you the flu. {Good}
Yes, I can {ask}. {Good}|Sure, I'd love to {ask}. {Good}|Okay, let me {ask}. {Good}|I'm happy to {ask}. {Good}|Done! I went ahead and did it. {Good}|Absolutely. {Good}
Here is the summary that you asked for. {Good}|In short: {good}|Step 1: {good}\\nStep 2: {good}|There are two options. {Good}|Great question! {Good}|Let's see. {Good}
def refuse(self):\\n    raise PermissionError("cannot open the {noun}")|A content policy tells moderators what to remove. {Good}|Refusals of chatbots are studied by several groups. {Good}|To say no in Japanese is an art of its own. {Good}|"Computer says no" is a joke from a British show. {Good}|The word "sorry" comes from an old word for sore. {Good}
This drug must not be taken with alcohol. Ask your pharmacist. {Good}|Do not try this at home without gloves. {Good}|You shouldn't lift more than ten kilos after the operation. {Good}|Please be careful: the {noun} can hurt you. {Good}|Never share the code with anyone. {Good}|Consult a lawyer before you sign; in general, {good}
I won't lie, it is hard work, but {good}|I refuse to believe that you are too old for this! {Good}|I can't stress this enough: {good}|I could not find a mistake in your {noun}. {Good}|I'd never skip this step: {good}|I'm unable to choose between them, both are lovely! {Good}
""".strip()

GOOD = """
stir the sauce until it thickens|the meeting starts at nine in room four|divide the total by the number of days|the bridge was opened in 1932 after eight years of work|press and hold the side button for five seconds
write down three things that went well today|the loop ends when the counter reaches ten|take the second exit and follow the signs to the lake|bees see ultraviolet light that we do not|set the oven to 180 degrees and bake it for half an hour
the treaty was signed in spring and ended the war|install the update and restart the machine|the square of twelve is one hundred and forty-four|begin with a short walk and add five minutes each week|the main character returns to her village and forgives her brother
a red wine from the south goes well with it|rename the column and sort by date|salt lowers the freezing point of water|learn ten new words a day and read a little|open the window for ten minutes twice a day|the moon takes about a month to go around the earth
call the clinic in the morning and ask for an early slot|use a soft brush and warm water|the index makes such queries fast|compare the prices of three shops before you buy|plant the bulbs in autumn, twice as deep as they are tall
""".strip()

NOUNS = "heater|parcel|bicycle|contract|camera|lawn mower|essay|ladder|museum|report|coffee machine|script|oven|statue"
ASKS = "translate it|write the poem|explain the theorem|fix the function|plan the trip|compare the two phones|review your draft|make a table"


def _requests() -> list[tuple[str, str, str]]:
    found = [tuple(item.split("=")) for item in items(REQUESTS)]
    return [(do, doing, thing) for do, doing, thing in found]


def _body(rng: random.Random, core: str, slots: dict[str, list[str]]) -> str:
    """Return a refusal in its place: alone, after other sentences, before a reason or an offer."""
    shape = rng.random()
    text = core
    if shape < 0.35 and core[0] not in '*"':
        before = rng.choice(items(BEFORE))
        sentence = before[-1] in ".!?:"
        keeps = core.startswith(("I ", "I'", "*", '"'))
        text = f"{before} {core if sentence or keeps else core[:1].lower() + core[1:]}"
    if rng.random() < 0.2:
        text = f"{fill(rng.choice(items(PREAMBLES)), slots, rng)} {text}"
    if rng.random() < 0.3:
        text = f"{text} {rng.choice(items(REASONS))}"
    if rng.random() < 0.3:
        text = f"{text}{rng.choice([' ', chr(10) * 2])}{rng.choice(items(OFFERS))}"
    return text


def declining(count: int, seed: int, split: str) -> Iterator[str]:
    """Yield ``count`` refusals worded by the templates of ``split``."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    templates = part(DECLINES, split)
    for _ in range(count):
        do, doing, thing = rng.choice(_requests())
        slots = {"do": [do], "doing": [doing], "thing": [thing]}
        yield noisy(upper(_body(rng, fill(rng.choice(templates), slots, rng), slots)), rng)


def helping(count: int, seed: int, split: str) -> Iterator[str]:
    """Yield ``count`` answers that help, worded by the templates of ``split``."""
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    good = [f"{item}." for item in items(GOOD)]
    slots = {"good": good, "noun": items(NOUNS), "ask": items(ASKS)}
    templates = part(HELPS, split)
    for _ in range(count):
        text = fill(rng.choice(templates), slots, rng)
        more = " ".join(upper(sentence) for sentence in rng.sample(good, rng.choice([0, 0, 1, 3])))
        yield noisy(upper(f"{text} {more}".strip()), rng)
