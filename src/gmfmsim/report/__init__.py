"""What people look at: the answer in a sentence, figures, the report page."""
