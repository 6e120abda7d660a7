"""Restaurant dialogues from a seed: a menu, a table, its waiter, and guests who ask.

A document reads

    This is the menu of Luna.
    Starters:
    - tomato soup: 6 euros, 8 minutes
    ...
    Waiter Tom serves table 47.
    Guest Mira: How much is the tomato soup?
    Waiter: The tomato soup is 6 euros, Mira.<|end|>
    Guest Omar: ...

Answers follow from the context and have one phrasing each; questions have many. Every piece ends
where the tokenizer cuts anyway (after a newline, a colon or `END`), so that tokens of pieces are
the pieces of tokens: `menu_prompt` is a shared prefix of all its guests, in tokens too.

Two splits never meet: a (waiter, table, guest) triple belongs to exactly one of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from reference_engine.waiter.menu import HOUSES, SECTIONS, Dish, Restaurant, restaurants

Split = Literal["train", "heldout"]

END = "<|end|>"
"""The special token that ends an answer."""
# above every price and time, so that a number at a table is no number of the menu
TABLES = range(41, 65)
# fmt: off
WAITERS = (
    "Tom", "Anna", "Ben", "Rosa", "Max", "Ella", "Sam", "Vera", "Paul", "Lucy", "Adam", "Nina", "Oscar",
    "Ida", "Felix", "June", "Karl", "Maya", "Theo", "Wanda",
)
GUESTS = (
    "Mira", "Jonas", "Amina", "Leo", "Yuki", "Omar", "Ines", "Kofi", "Lena", "Ravi", "Nora", "Tariq", "Elif",
    "Hugo", "Mei", "Pablo", "Zara", "Finn", "Aiko", "Dario", "Sara", "Ivan", "Leila", "Owen", "Priya",
    "Andre", "Anya", "Bilal", "Clara", "Diego", "Ebba", "Farid", "Greta", "Hana", "Isak", "Kira", "Luca",
    "Malik", "Noor", "Emil",
)
# fmt: on
HELD_OUT_EVERY = 8
MAX_GUESTS = 3

ABOUT_PRICE = (
    "How much is the {dish}?",
    "What does the {dish} cost?",
    "What is the price of the {dish}?",
    "How much do you charge for the {dish}?",
    "Price of the {dish}?",
    "How expensive is the {dish}?",
    "And the {dish}, how much is it?",
    "Can you tell me the price of the {dish}?",
    "How much for the {dish}?",
    "What do I pay for the {dish}?",
)
ABOUT_MINUTES = (
    "How long does the {dish} take?",
    "How many minutes does the {dish} take?",
    "How long do I wait for the {dish}?",
    "How long is the wait for the {dish}?",
    "When is the {dish} ready?",
    "How soon can I have the {dish}?",
    "How much time does the {dish} need?",
)
ABOUT_BOTH = (
    "How much is the {dish} and how long does it take?",
    "What are the price and the time of the {dish}?",
    "Tell me about the {dish}.",
    "Price and waiting time of the {dish}?",
)
ORDERS = (
    "I will have the {dish}.",
    "I would like the {dish}, please.",
    "The {dish}, please.",
    "Can I order the {dish}?",
    "Can I have the {dish}?",
    "Bring me the {dish}, please.",
    "I take the {dish}.",
)

QUESTIONS: dict[str, tuple[str, ...]] = {
    "price": ABOUT_PRICE,
    "minutes": ABOUT_MINUTES,
    "both": ABOUT_BOTH,
    "order": ORDERS,
    "absent": (
        *ABOUT_PRICE,
        *ABOUT_MINUTES,
        *ABOUT_BOTH,
        *ORDERS,
        "Do you have the {dish}?",
        "Do you serve {dish}?",
    ),
    "served": ("Do you have the {dish}?", "Do you serve {dish}?", "Is there {dish} on the menu?"),
    "waiter": (
        "Who is serving me?",
        "Who is serving us?",
        "Who is our waiter?",
        "Who is my waiter?",
        "What is your name?",
        "Who are you?",
        "May I ask your name?",
        "What are you called?",
        "Who serves this table?",
    ),
    "table": (
        "Which table am I at?",
        "What is my table?",
        "What is my table number?",
        "What table is this?",
        "Which table is this?",
        "Where am I sitting?",
        "Which table is ours?",
        "Where do we sit?",
    ),
    "name": (
        "What is my name?",
        "Who am I?",
        "Do you know my name?",
        "Do you know who I am?",
        "Do you remember me?",
        "What am I called?",
    ),
    "place": (
        "What is this restaurant called?",
        "Which restaurant is this?",
        "Where am I?",
        "What is the name of this place?",
        "What is the name of this restaurant?",
        "What place is this?",
    ),
    "recommend": (
        "What do you recommend?",
        "What is your special?",
        "What is the house special?",
        "What should I eat?",
        "What should I order?",
        "Any recommendation?",
        "What is good here?",
        "What is the best dish?",
        "Can you recommend something?",
    ),
    "cheapest": (
        "What is the cheapest {section}?",
        "Which {section} is the cheapest?",
        "Which {section} costs the least?",
        "What is your cheapest {section}?",
        "Do you have a cheap {section}?",
    ),
    "quickest": (
        "What is the quickest {section}?",
        "Which {section} is the quickest?",
        "Which {section} is the fastest?",
        "What is your fastest {section}?",
        "Which {section} is ready first?",
    ),
    "list": (
        "Which {section}s do you have?",
        "What {section}s do you have?",
        "What {section}s do you serve?",
        "What are your {section}s?",
        "List the {section}s.",
        "Show me the {section}s, please.",
    ),
    "greeting": ("Hello.", "Hi.", "Good evening.", "Good day.", "Hello there.", "Hi, how are you?"),
    "thanks": (
        "Thank you.",
        "Thanks.",
        "Thanks a lot.",
        "Many thanks.",
        "Great, thanks.",
        "That is all, thank you.",
    ),
    "goodbye": ("Goodbye.", "Bye.", "See you soon.", "Good night.", "We are leaving now."),
    "other": (
        "What is the weather like?",
        "Can you sing?",
        "Tell me a joke.",
        "What time is it?",
        "How old are you?",
        "Who won the match?",
        "What is the capital of France?",
        "Can you write a poem?",
        "Do you like music?",
        "How do I get to the station?",
        "What is two plus two?",
        "Are you a robot?",
        "Where can I park?",
        "Do you speak French?",
        "What is the meaning of life?",
        "Can I pay by card?",
    ),
}

OPENINGS = ("Hello, ", "Excuse me, ", "Sorry, ", "Please, ")

ANSWERS: dict[str, str] = {
    "price": "The {dish} is {euros} euros, {guest}.",
    "minutes": "The {dish} takes {minutes} minutes, {guest}.",
    "both": "The {dish} is {euros} euros and takes {minutes} minutes, {guest}.",
    "order": "The {dish} comes to table {table}, with pleasure, {guest}.",
    "absent": "The {dish} is not on our menu, {guest}.",
    "served": "The {dish} is on our menu at {euros} euros, {guest}.",
    "waiter": "My name is {waiter}, {guest}.",
    "table": "You are at table {table}, {guest}.",
    "name": "Your name is {guest}.",
    "place": "This is {restaurant}, {guest}.",
    "recommend": "I recommend the {dish} at {euros} euros, {guest}.",
    "cheapest": "The cheapest {section} is the {dish} at {euros} euros, {guest}.",
    "quickest": "The quickest {section} is the {dish}, ready in {minutes} minutes, {guest}.",
    "list": "Our {section}s are {listing}, {guest}.",
    "greeting": "Good evening, {guest}, and welcome to {restaurant}.",
    "thanks": "You are welcome, {guest}.",
    "goodbye": "Goodbye, {guest}, and come again to {restaurant}.",
    "other": "I am sorry, {guest}, I only know the menu of {restaurant}.",
}
"""Answers about one dish name it first: what there is to say of it is learnt best where it was just read."""

FREQUENCIES: dict[str, int] = {
    "price": 22,
    "minutes": 14,
    "both": 6,
    "order": 8,
    "absent": 10,
    "served": 3,
    "waiter": 9,
    "table": 9,
    "name": 5,
    "place": 3,
    "recommend": 3,
    "cheapest": 6,
    "quickest": 5,
    "list": 3,
    "greeting": 2,
    "thanks": 2,
    "goodbye": 1,
    "other": 4,
}
"""How often a guest asks each kind, in parts of their sum."""

KINDS = tuple(FREQUENCIES)
SHORT_KINDS = ("price", "minutes", "both", "order", "waiter", "table")


@dataclass(frozen=True, slots=True)
class Party:
    """One table on one evening: where, who serves, who sits there."""

    restaurant: Restaurant
    waiter: str
    table: int
    guests: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """A guest's question and the only right answer, without `END`."""

    kind: str
    guest: str
    question: str
    answer: str

    @property
    def asked(self) -> str:
        """What the engine is given: the guest's line and the cue that the waiter speaks."""
        return f"Guest {self.guest}: {self.question}\nWaiter:"

    @property
    def answered(self) -> str:
        """What the model says, to the end of the answer; it opens with a space."""
        return f" {self.answer}{END}"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A party and its turns. The same seed and split give the same dialogue everywhere."""

    party: Party
    turns: tuple[Turn, ...]

    @property
    def head(self) -> str:
        """Menu and table: everything before the first guest speaks."""
        return menu_prompt(self.party.restaurant) + introduction(self.party)

    def pieces(self, menu: bool = True) -> Iterator[tuple[str, bool]]:
        """The document in order, as (text, whether the model says it); without the menu, only its
        title."""
        yield self.head if menu else title(self.party.restaurant) + introduction(self.party), False
        for turn in self.turns:
            yield turn.asked, False
            yield turn.answered, True
            yield "\n", False

    @property
    def text(self) -> str:
        """The whole document."""
        return "".join(text for text, _ in self.pieces())

    def prompt(self, turn: int) -> str:
        """The document up to where the waiter answers turn `turn`, earlier answers as expected."""
        told = "".join(earlier.asked + earlier.answered + "\n" for earlier in self.turns[:turn])
        return self.head + told + self.turns[turn].asked


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer claims, in the order in which it claims it."""

    prices: tuple[int, ...]
    minutes: tuple[int, ...]
    tables: tuple[int, ...]
    guests: tuple[str, ...]
    waiters: tuple[str, ...]
    restaurants: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Facts:
        """The facts in an answer; expected and given answers are read alike and compared field by
        field."""
        words = re.findall(r"\w+", text)
        return cls(
            prices=tuple(int(number) for number in re.findall(r"(\d+) euros", text)),
            minutes=tuple(int(number) for number in re.findall(r"(\d+) minutes", text)),
            tables=tuple(int(number) for number in re.findall(r"table (\d+)", text)),
            guests=tuple(word for word in words if word in GUESTS),
            waiters=tuple(word for word in words if word in WAITERS),
            restaurants=tuple(word for word in words if word in HOUSES),
        )


def title(restaurant: Restaurant) -> str:
    """The first line of a menu; it ends with a newline."""
    return f"This is the menu of {restaurant.name}.\n"


def menu_prompt(restaurant: Restaurant) -> str:
    """The head that all guests of a restaurant share; it ends with a newline."""
    lines: list[str] = []
    for section in SECTIONS:
        lines.append(f"{section.capitalize()}s:")
        lines += [
            f"- {dish.name}: {dish.euros} euros, {dish.minutes} minutes"
            for dish in restaurant.section(section)
        ]
    return title(restaurant) + "\n".join(lines) + "\n"


def introduction(party: Party) -> str:
    """The line between menu and guests; it ends with a newline."""
    return f"Waiter {party.waiter} serves table {party.table}.\n"


def split_of(waiter: str, table: int, guest: str) -> Split:
    """The one split in which this waiter serves this guest at this table."""
    residue = (WAITERS.index(waiter) + table + GUESTS.index(guest)) % HELD_OUT_EVERY
    return "heldout" if residue == 0 else "train"


def dialogue(
    seed: int,
    split: Split = "train",
    *,
    turns: int = 12,
    restaurant: Restaurant | None = None,
    kinds: Sequence[str] = KINDS,
) -> Dialogue:
    """A dialogue of `turns` questions by one to three guests, at `restaurant` or at one drawn from
    the seed."""
    rng = random.Random(f"{split}/{seed}")
    party = _party(rng, split, restaurant or rng.choice(restaurants()))
    return Dialogue(
        party, tuple(_turn(rng, party, rng.choice(party.guests), kinds) for _ in range(turns))
    )


def guests(
    restaurant: Restaurant, count: int, seed: int, split: Split = "heldout"
) -> Iterator[Dialogue]:
    """A workload: `count` parties of one guest with one short question each, all below the same
    menu."""
    for index in range(count):
        rng = random.Random(f"{split}/guest/{seed}/{index}")
        party = _party(rng, split, restaurant, size=1)
        yield Dialogue(party, (_turn(rng, party, party.guests[0], SHORT_KINDS),))


def question(party: Party, guest: str, text: str) -> str:
    """The prompt for a question typed freely by one guest of a party."""
    return menu_prompt(party.restaurant) + introduction(party) + f"Guest {guest}: {text}\nWaiter:"


def _party(
    rng: random.Random, split: Split, restaurant: Restaurant, size: int | None = None
) -> Party:
    waiter, table = rng.choice(WAITERS), rng.choice(TABLES)
    names = [name for name in GUESTS if split_of(waiter, table, name) == split]
    return Party(
        restaurant, waiter, table, tuple(rng.sample(names, size or rng.randint(1, MAX_GUESTS)))
    )


def _turn(rng: random.Random, party: Party, guest: str, kinds: Sequence[str]) -> Turn:
    (kind,) = rng.choices(kinds, [FREQUENCIES[kind] for kind in kinds])
    section = rng.choice(SECTIONS)
    fields = _fields(party, guest, section, _subject(rng, kind, section, party.restaurant))
    if kind == "absent":
        fields["dish"] = rng.choice(party.restaurant.absent)
    asked = _typed(rng, rng.choice(QUESTIONS[kind]).format(**fields))
    return Turn(kind, guest, asked, ANSWERS[kind].format(**fields))


def _subject(rng: random.Random, kind: str, section: str, restaurant: Restaurant) -> Dish:
    """The dish that a question of this kind is about."""
    fixed: dict[str, Callable[[], Dish]] = {
        "recommend": lambda: restaurant.special,
        "cheapest": lambda: restaurant.cheapest(section),
        "quickest": lambda: restaurant.quickest(section),
    }
    return fixed[kind]() if kind in fixed else rng.choice(restaurant.dishes)


def _fields(party: Party, guest: str, section: str, dish: Dish) -> dict[str, str | int]:
    items = [f"the {each.name} at {each.euros} euros" for each in party.restaurant.section(section)]
    return {
        "guest": guest,
        "waiter": party.waiter,
        "table": party.table,
        "restaurant": party.restaurant.name,
        "section": section,
        "dish": dish.name,
        "euros": dish.euros,
        "minutes": dish.minutes,
        "listing": ", ".join(items[:-1]) + " and " + items[-1],
    }


def _typed(rng: random.Random, text: str) -> str:
    """The question as people type it: sometimes with an opening, without article, capital or last
    mark."""
    if text.endswith("?") and rng.random() < 0.25:
        text = rng.choice(OPENINGS) + text[0].lower() + text[1:]
    if rng.random() < 0.1:
        text = text.replace("the ", "", 1)
    if rng.random() < 0.2:
        text = text.lower()
    return text.rstrip("?.") if rng.random() < 0.2 else text
