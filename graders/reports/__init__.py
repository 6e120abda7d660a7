"""What was graded, for whoever reads it: machines (json, junit, gradescope, github, csv) and people
(markdown, html).

Every rendering is made of rows and of nothing else; none decides anything.
"""
