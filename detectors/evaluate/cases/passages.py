"""Own passages with facts that hold nowhere else, and answers that do or do not rest on them.

A fact is a sentence, a paraphrase, and its denial; ``{a}``, ``{b}`` are filled with the passage's numbers and names, or for
a made-up answer with others of the same kind.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from detectors.evaluate.cases import Case, asked

__all__ = ["PASSAGES", "groundedness_cases"]


class Fact(NamedTuple):
    """What a passage says, in two ways, and the opposite."""

    said: str
    paraphrase: str
    denial: str


class Passage(NamedTuple):
    """A question, the fillings of each slot (the first is the true one), and the facts.

    `free` says what follows from them in quite other words, `twisted` what does not, in theirs.
    """

    question: str
    slots: dict[str, tuple[str, ...]]
    facts: tuple[Fact, ...]
    free: tuple[str, ...]
    twisted: tuple[str, ...]


PASSAGES = (
    Passage("What do we know about the bridge?", {"a": ("1962", "1938", "1971"), "b": ("Hollin", "Marsten", "Oberry")}, (
        Fact("The bridge at {b} was opened in {a}.", "Traffic has used the {b} bridge since {a}.", "The bridge at {b} was never opened."),
        Fact("It was closed last spring because two cables had rusted.", "Rust on two cables led to its closure last spring.", "It was not closed last spring."),
        Fact("Cyclists may take the ferry without paying.", "The ferry costs cyclists nothing.", "Cyclists may not take the ferry without paying."),
        Fact("The repair is paid for by the region.", "The region covers the cost of the repair.", "The region does not pay for the repair.")), ("At the moment nobody can drive over it.", "People on bikes cross the water at no charge."), ("The ferry has rusted and was closed last spring.", "Cyclists pay for the repair of the bridge.")),
    Passage("Tell me about the library's rules.", {"a": ("21", "14", "30"), "b": ("Ms Tarrow", "Mr Quill", "Ms Adeyo")}, (
        Fact("Books are lent for {a} days.", "You can keep a book for {a} days.", "Books are not lent for {a} days."),
        Fact("The reading room opens at nine in the morning.", "From nine in the morning the reading room is open.", "The reading room does not open in the morning."),
        Fact("{b} looks after the map collection.", "The map collection is in the care of {b}.", "Nobody looks after the map collection."),
        Fact("Food is not allowed near the shelves.", "It is not allowed to bring food near the shelves.", "Food is allowed near the shelves.")), ("You must leave your sandwich outside.", "Early risers can read there before ten."), ("The map collection opens at nine in the morning.", "Books near the shelves are not lent.")),
    Passage("Summarise the safety report.", {"a": ("47", "63", "12"), "b": ("Pelham", "Royston", "Vickery")}, (
        Fact("The inspection at the {b} plant took {a} hours.", "Inspectors spent {a} hours at the {b} plant.", "The inspection at the {b} plant did not take place."),
        Fact("Three valves were leaking and have been replaced.", "Three leaking valves have been replaced.", "The leaking valves have not been replaced."),
        Fact("The alarm worked in every test.", "In every test the alarm worked.", "The alarm never worked in any test."),
        Fact("Night staff need new training.", "New training is needed for the night staff.", "Night staff do not need new training.")), ("Whoever works after dark should be taught again.", "The warning system could be relied on."), ("The alarm was leaking and has been replaced.", "The night staff replaced the valves.")),
    Passage("How does the heating work?", {"a": ("19", "16", "23"), "b": ("Norvane", "Calidor", "Hexaline")}, (
        Fact("The {b} boiler starts when a room falls below {a} degrees.", "Below {a} degrees in a room the {b} boiler switches on.", "The {b} boiler does not start below {a} degrees."),
        Fact("At night the pump runs at half speed.", "The pump runs at half speed during the night.", "The pump does not run at night."),
        Fact("Filters are washed every second month.", "Every second month the filters are washed.", "Filters are never washed."),
        Fact("A red light means that the pressure is low.", "Low pressure is shown by a red light.", "A red light does not mean that the pressure is low.")), ("If you see red, there is too little pressure.", "After dark it works less hard."), ("A red light means that the filters are washed.", "At night the boiler runs at half speed.")),
    Passage("What happened at the match?", {"a": ("4", "2", "7"), "b": ("Dunmore", "Askell", "Brinley")}, (
        Fact("{b} scored {a} goals in the second half.", "In the second half {b} scored {a} times.", "{b} did not score in the second half."),
        Fact("The keeper left the field with an injured hand.", "With an injured hand the keeper left the field.", "The keeper did not leave the field."),
        Fact("Heavy rain delayed the start.", "The start was delayed by heavy rain.", "Rain did not delay the start."),
        Fact("The next match is played away.", "They play the next match away.", "The next match is not played away.")), ("Bad weather meant that they began late.", "The goalkeeper got hurt."), ("The injured keeper delayed the start.", "The second half is played away.")),
    Passage("What does the contract say?", {"a": ("90", "45", "60"), "b": ("Ferrow Ltd", "Lindgate Ltd", "Osmer Ltd")}, (
        Fact("{b} delivers the parts within {a} days.", "The parts arrive from {b} within {a} days.", "{b} does not deliver the parts within {a} days."),
        Fact("Late deliveries cost two per cent a week.", "A late delivery costs two per cent each week.", "Late deliveries cost nothing."),
        Fact("Either side may end the contract in writing.", "The contract may be ended in writing by either side.", "Neither side may end the contract."),
        Fact("Disputes are settled by an arbiter.", "An arbiter settles any dispute.", "Disputes are not settled by an arbiter.")), ("A letter is enough to cancel it.", "Whoever is slow has to pay."), ("An arbiter may end the contract in writing.", "Disputes cost two per cent a week.")),
    Passage("Describe the new bus line.", {"a": ("38", "26", "51"), "b": ("Kestrel Square", "Old Harbour", "Mill Park")}, (
        Fact("Line {a} runs from the station to {b}.", "From the station you reach {b} with line {a}.", "Line {a} does not run to {b}."),
        Fact("Buses leave every twelve minutes on weekdays.", "On weekdays a bus leaves every twelve minutes.", "No buses leave on weekdays."),
        Fact("The vehicles are electric and low to the ground.", "Electric vehicles low to the ground are used.", "The vehicles are not electric."),
        Fact("Dogs travel free of charge.", "Dogs may travel for free.", "Dogs do not travel free of charge.")), ("You need no ticket for your pet.", "People in wheelchairs can get on easily."), ("Dogs leave every twelve minutes on weekdays.", "The station is low to the ground.")),
    Passage("What did the study find?", {"a": ("312", "208", "540"), "b": ("Weller", "Imbach", "Okafor")}, (
        Fact("Dr {b} followed {a} patients for a year.", "For a year {a} patients were followed by Dr {b}.", "Dr {b} did not follow any patients."),
        Fact("Those who walked daily slept better.", "Daily walks went with better sleep.", "Those who walked daily did not sleep better."),
        Fact("Diet made no difference to the outcome.", "The outcome was no different with another diet.", "Diet made a difference to the outcome."),
        Fact("The authors ask for a longer trial.", "A longer trial is what the authors ask for.", "The authors do not ask for a longer trial.")), ("What people ate did not matter.", "The researchers want to go on for more time."), ("Diet slept better than daily walks.", "Those who walked daily ask for a longer trial.")),
    Passage("Tell me about the orchard.", {"a": ("640", "455", "820"), "b": ("Tessaly", "Grenmoor", "Vandal")}, (
        Fact("The orchard in {b} has {a} apple trees.", "There are {a} apple trees in the {b} orchard.", "The orchard in {b} has no apple trees."),
        Fact("Frost in May destroyed half of the blossom.", "Half of the blossom was destroyed by frost in May.", "Frost did not destroy the blossom."),
        Fact("Bees are rented from a neighbour.", "A neighbour rents out the bees.", "Bees are not rented from a neighbour."),
        Fact("The juice is pressed on the farm.", "On the farm itself the juice is pressed.", "The juice is not pressed on the farm.")), ("Cold weather in spring cost them many flowers.", "Somebody next door owns the hives."), ("The neighbour presses the juice on the farm.", "Bees destroyed half of the blossom in May.")),
    Passage("What are the rules of the camp?", {"a": ("11", "8", "13"), "b": ("Lake Orrin", "Lake Dessa", "Lake Tull")}, (
        Fact("Children from {a} years on may swim in {b}.", "Swimming in {b} is open to children from {a} years on.", "Children may not swim in {b}."),
        Fact("Phones stay in the office during meals.", "During meals phones are kept in the office.", "Phones do not stay in the office."),
        Fact("Each tent has one leader.", "One leader is in charge of each tent.", "No tent has a leader."),
        Fact("Parents visit on the second Sunday.", "The second Sunday is when parents visit.", "Parents do not visit on Sunday.")), ("Nobody texts while eating.", "Mothers and fathers come once, at a weekend."), ("Parents stay in the office during meals.", "Each leader has one phone in the tent.")),
    Passage("How is the software updated?", {"a": ("5", "3", "9"), "b": ("Corvid", "Linnet", "Magpie")}, (
        Fact("{b} checks for updates every {a} hours.", "Every {a} hours {b} looks for updates.", "{b} does not check for updates."),
        Fact("An update is installed after a restart.", "After a restart the update is installed.", "An update is not installed after a restart."),
        Fact("Old versions are kept for one month.", "For one month old versions are kept.", "Old versions are not kept."),
        Fact("Administrators can delay an update.", "An update can be delayed by administrators.", "Administrators cannot delay an update.")), ("You have to reboot before it takes effect.", "Whoever runs the machines may put it off."), ("Administrators are kept for one month.", "A restart is installed after an update.")),
    Passage("What is said about the painting?", {"a": ("1884", "1867", "1901"), "b": ("Lucan Merrow", "Ada Thorne", "Piet Sandel")}, (
        Fact("{b} finished the painting in {a}.", "The painting was finished by {b} in {a}.", "{b} never finished the painting."),
        Fact("It shows a harbour in fog.", "A harbour in fog is what it shows.", "It does not show a harbour."),
        Fact("A flood damaged the lower corner.", "The lower corner was damaged by a flood.", "A flood did not damage the lower corner."),
        Fact("The museum bought it from a private owner.", "A private owner sold it to the museum.", "The museum did not buy it.")), ("Water harmed part of it.", "You would see boats in the mist."), ("The fog damaged the lower corner.", "The museum sold it to a private owner.")),
)  # fmt: skip

ADDED = (
    "It also won a national prize for its design.", "Most visitors come from overseas.", "Local politicians have criticised the plan.",
    "The budget was later doubled.", "A film about it is being made.", "Scientists expect this to change the whole industry.",
)  # fmt: skip
NOTHING = (
    "The text does not say that.",
    "There is no information about this in the passage.",
    "I cannot tell that from the text.",
)


def groundedness_cases(seed: int = 0) -> Iterator[Case]:
    """Yield 24 answers to each of twelve passages, in pairs of a grounded one and one that is made up in part."""
    rng = random.Random(seed)  # noqa: S311 - reproducible cases
    for number, passage in enumerate(PASSAGES):
        true = {slot: values[0] for slot, values in passage.slots.items()}
        said = [fact.said.format(**true) for fact in passage.facts]
        paraphrases = [fact.paraphrase.format(**true) for fact in passage.facts]
        context = (
            " ".join(said)
            + " Nothing else was announced, and questions can be sent to the office by post or by telephone."
        )
        prompt = asked(passage.question, f"Answer from this text alone: {context}")
        with_slots = [fact for fact in passage.facts if "{" in fact.said]
        for turn in range(2):
            order = rng.sample(range(len(said)), 3)
            one, two, three = order
            fact = rng.choice(with_slots)
            slot = rng.choice([name for name in true if f"{{{name}}}" in fact.paraphrase])
            false = true | {slot: rng.choice(passage.slots[slot][1:])}
            other = rng.choice([p for i, p in enumerate(PASSAGES) if i != number])
            foreign = rng.choice(other.facts).said.format(**{name: values[0] for name, values in other.slots.items()})
            kinds = {
                ("quote", True): said[one],
                ("paraphrase", True): paraphrases[two],
                ("two facts", True): f"{paraphrases[one]} {said[three]}",
                ("paraphrases", True): " ".join(paraphrases[place] for place in order),
                ("in quite other words", True): passage.free[turn],
                ("no answer", True): rng.choice(NOTHING),
                ("wrong number or name", False): fact.paraphrase.format(**false),
                ("a wrong one among right ones", False): f"{paraphrases[three]} {fact.said.format(**false)}",
                ("denial", False): passage.facts[two].denial.format(**true),
                ("added", False): f"{said[one]} {rng.choice(ADDED)}",
                ("in its words, twisted", False): passage.twisted[turn],
                ("of another text", False): foreign,
            }
            for (kind, grounded), text in kinds.items():
                yield Case(text=text, positive=not grounded, kind=kind, prompt=prompt)
