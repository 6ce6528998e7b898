"""The main path: from a question to posterior, truths, trials and n."""
