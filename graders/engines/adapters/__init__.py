"""Files that run in the engines' own environments, by their path; nobody imports them here."""
