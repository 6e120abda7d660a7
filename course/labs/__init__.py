"""The labs as files, tables and figures."""
