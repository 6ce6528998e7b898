"""What was reported: tables of results, read, validated and turned into effects with their covariance.

The way of the data: `schema` says what a table and a row are; `sheets` takes a file apart into cells, `rows` makes rows
of them; `read` takes a folder, `flat` one file; `contrasts` selects, `readings` and `what_if` say what else the figures
may mean; `spread` is how much children differ, `pooled` what a review printed. Beside it: `formulas`, the `audit` of
the tables, `rerun`, a review computed again, and `uses`, what uses each claim and each endpoint.
"""
