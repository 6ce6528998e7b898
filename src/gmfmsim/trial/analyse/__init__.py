"""Analyses of a trial: one file each, with what it declares, computes, tends to and says; see trial.analyses."""
