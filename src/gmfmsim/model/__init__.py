"""What the evidence implies: declared models, their posterior, and the truths of a new study."""
