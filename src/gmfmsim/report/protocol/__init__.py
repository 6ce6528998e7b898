"""The sample-size section of a protocol: a document made from an answer, and its writers. Nothing is computed here."""
