"""Restaurants and their menus, fixed once and for all.

Dishes recur from restaurant to restaurant, each time at another price and another time, so an
answer read from the wrong menu is wrong in a way that a person sees.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

SECTIONS = ("starter", "main", "dessert", "drink")
DISHES_PER_SECTION = 10
SEED = "the waiter's menus, first edition"

HOUSES = {
    "Luna": "seafood linguine",
    "Sakura": "miso ramen",
    "Olive": "spinach moussaka",
    "Saffron": "paneer biryani",
    "Cactus": "pepper enchilada",
    "Tulip": "leek hotpot",
    "Lotus": "lemongrass pho",
    "Atlas": "apricot tagine",
    "Fjord": "dill herring",
    "Baobab": "peanut stew",
    "Maple": "maple burger",
    "Jade": "plum dumpling",
}
"""Restaurant: the dish that it alone serves, and recommends."""

POOLS = {
    "starter": (
        "tomato soup", "onion soup", "lentil soup", "green salad", "potato salad", "bean salad",
        "garlic bread", "spring roll", "fried tofu", "stuffed pepper", "olive plate",
        "mushroom toast", "cheese plate", "corn cake",
    ),
    "main": (
        "mushroom risotto", "vegetable lasagna", "chicken curry", "lamb stew", "grilled salmon",
        "baked trout", "beef noodle bowl", "fried rice", "bean burger", "fish taco", "duck pie",
        "pumpkin pasta", "roast chicken", "tofu bowl",
    ),
    "dessert": (
        "apple pie", "lemon tart", "rice pudding", "chocolate cake", "almond cake", "fruit salad",
        "vanilla ice cream", "mango sorbet", "honey waffle", "plum crumble", "berry pancake",
        "walnut brownie", "coconut flan", "ginger cookie",
    ),
    "drink": (
        "green tea", "black tea", "mint tea", "black coffee", "apple juice", "orange juice",
        "lemon soda", "ginger beer", "iced cocoa", "tomato juice", "mango lassi", "rice milk",
        "sparkling water", "house lemonade",
    ),
}  # fmt: skip

EUROS = {
    "starter": range(4, 17),
    "main": range(11, 31),
    "dessert": range(4, 16),
    "drink": range(2, 14),
}
MINUTES = {
    "starter": range(5, 18),
    "main": range(14, 36),
    "dessert": range(4, 17),
    "drink": range(2, 14),
}


@dataclass(frozen=True, slots=True)
class Dish:
    """A line of a menu: price in euros, time in minutes. Names are lower case, so they read alike
    everywhere."""

    name: str
    section: str
    euros: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Restaurant:
    """A name and a menu of `DISHES_PER_SECTION` dishes a section, in the order of `SECTIONS`."""

    name: str
    dishes: tuple[Dish, ...]

    def section(self, name: str) -> tuple[Dish, ...]:
        """The dishes of one section, in the order in which the menu prints them."""
        return tuple(dish for dish in self.dishes if dish.section == name)

    @property
    def special(self) -> Dish:
        """The dish that this restaurant alone serves."""
        return next(dish for dish in self.dishes if dish.name == HOUSES[self.name])

    def cheapest(self, section: str) -> Dish:
        """The one dish of the section with the lowest price; no other has that price."""
        return min(self.section(section), key=lambda dish: dish.euros)

    def quickest(self, section: str) -> Dish:
        """The one dish of the section with the shortest time; no other has that time."""
        return min(self.section(section), key=lambda dish: dish.minutes)

    @property
    def absent(self) -> tuple[str, ...]:
        """Dishes that other restaurants serve and this one does not."""
        served = {dish.name for dish in self.dishes}
        everything = [*HOUSES.values(), *(name for pool in POOLS.values() for name in pool)]
        return tuple(name for name in everything if name not in served)


@cache
def restaurants() -> tuple[Restaurant, ...]:
    """All restaurants, the same in every run and on every machine."""
    rng = random.Random(SEED)
    tables = {section: _figures(rng, section) for section in SECTIONS}
    return tuple(
        Restaurant(house, _dishes(rng, house, row, tables)) for row, house in enumerate(HOUSES)
    )


Figures = dict[str, list[tuple[int, int]]]


def _figures(rng: random.Random, section: str) -> Figures:
    """Dish: its (euros, minutes) at each restaurant; no two restaurants agree on either."""
    names = POOLS[section] + (tuple(HOUSES.values()) if section == "main" else ())
    count = len(HOUSES)
    return {
        name: list(
            zip(rng.sample(EUROS[section], count), rng.sample(MINUTES[section], count), strict=True)
        )
        for name in names
    }


def _dishes(
    rng: random.Random, house: str, row: int, tables: dict[str, Figures]
) -> tuple[Dish, ...]:
    dishes: list[Dish] = []
    for section in SECTIONS:
        pool = list(POOLS[section])
        own = [HOUSES[house]] if section == "main" else []
        while True:
            names = rng.sample(pool, DISHES_PER_SECTION - len(own)) + own
            rng.shuffle(names)
            drawn = [Dish(name, section, *tables[section][name][row]) for name in names]
            if _one_lowest(drawn, lambda dish: dish.euros) and _one_lowest(
                drawn, lambda dish: dish.minutes
            ):
                break
        dishes += drawn
    return tuple(dishes)


def _one_lowest(dishes: list[Dish], figure: Callable[[Dish], int]) -> bool:
    figures = sorted(figure(dish) for dish in dishes)
    return figures[0] < figures[1]
