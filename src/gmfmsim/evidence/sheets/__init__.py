"""A CSV file as people have them: its text, its cells, its rows, and what there is to tell of them."""
