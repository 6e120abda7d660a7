"""What a part does, drawn as lines of styled text: the same lines go to the terminal and into an
SVG file.

A drawing is made of what the contract lets anybody see, so that it shows any right part, whatever
its internals. Every mark is a letter as well as a colour: it can be read in a pipe, in a file and
by those who see no colours.
"""
