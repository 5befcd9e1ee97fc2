"""Somebody meant to write tests for this."""


def notes_of(text):
    return [line[2:] for line in text.splitlines() if line.startswith("- ")]
