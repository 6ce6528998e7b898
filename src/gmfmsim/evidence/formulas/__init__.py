"""Formulas of meta-analysis as plain functions, one each: no table, no file."""
