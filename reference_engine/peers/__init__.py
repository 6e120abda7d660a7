"""Files that also run inside other engines' environments, by their path: they need the standard
library alone."""
