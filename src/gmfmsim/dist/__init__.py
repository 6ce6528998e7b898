"""Distributions that models and trials declare, and laws that both use."""
