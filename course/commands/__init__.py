"""One module a command of `course`; each is imported only when its command is typed."""
