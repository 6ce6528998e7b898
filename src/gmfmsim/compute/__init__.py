"""Ground: arithmetic in a fixed order, arguments checked by name, work on several cores."""
