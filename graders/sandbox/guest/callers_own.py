"""What a part returned is the caller's: the driver writes over its lists, and a part that kept one
is found out."""

SCRAWL = -7  # no block and no id: the judges know what it means


class CallersOwn:
    """The lists that the part has returned, of one object. They stay here, so that none is taken
    for another."""

    def __init__(self):
        self.lists = {}
        self.latest = []

    def take(self, answer):
        """The answer; a list in it that was returned before is written over before the grader sees
        it."""
        self.latest = [
            item for item in (answer if type(answer) is tuple else (answer,)) if type(item) is list
        ]
        for item in self.latest:
            if id(item) in self.lists:
                write_over(item)
            self.lists[id(item)] = item
        return answer

    def scrawl(self):
        """Write over what the last call returned: the grader has its copy."""
        for item in self.latest:
            write_over(item)
        self.latest = []


def write_over(item):
    item[:] = [SCRAWL] * max(1, len(item))
