"""What a method of a part must return, by exact type, for the drivers that take it apart."""

PLAIN = (bool, int, float, str)
LONGEST = 80  # characters of a value in a sentence


class Undue(TypeError):
    """Something else was returned than what is due; the text says both, and reads on after the
    method's name.

    got: the first half of it, what was returned.
    """

    def __init__(self, got, due):
        super().__init__(f"{got}; {due}")
        self.got = got


def due(value, kind, written, before=""):
    """`value`, whose type must be just `kind`; Undue otherwise. before: where in the answer it was
    found."""
    if type(value) is kind:
        return value
    if value is None and not before:
        raise Undue(
            "returned nothing", f"is a return missing? {written[0].upper()}{written[1:]} is due"
        )
    found = type.__dict__["__name__"].__get__(type(value))
    if found == kind.__name__:
        raise Undue(
            f"returned {before}{_a(found)} of another class",
            f"import {found} from reference_engine.slots",
        )
    raise Undue(f"returned {before}{_shown(value, found)}", f"{written} is due")


def _shown(value, name):
    """ "a list ([1, 2])"; the value is left out where its own code would write it."""
    plain = type(value) in PLAIN or (
        type(value) in (list, tuple) and all(type(item) in PLAIN for item in value)
    )
    if value is None:
        return "None"
    return f"{_a(name)} ({repr(value)[:LONGEST]})" if plain else _a(name)


def _a(name):
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
