"""A user's own evidence in one flat file: a row is one arm at one month; the four tables follow from it."""
