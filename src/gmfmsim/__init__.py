"""gmfmsim: how many children does the next trial of cell treatment in cerebral palsy need?

It plans trials. It gives no advice on treatment. The verbs of the command line are functions here:

    gmfmsim.run("quickstart")       gmfmsim.check("my.toml")
    gmfmsim.list()                  gmfmsim.show("model", "emax")
    gmfmsim.audit()                 gmfmsim.new_evidence("my_evidence")
"""

from importlib import import_module

__version__ = "0.1.0"

DISCLAIMER = "gmfmsim plans trials. It gives no advice on treatment; no figure here says that a treatment works."

_VERBS = {
    "run": "answer.run",
    "simulate_design": "answer.run",
    "fit": "answer.fit",
    "calibrate": "proof.calibration",
    "check": "report.show",
    "list": "report.show",
    "show": "report.show",
    "audit": "report.show",
    "new_evidence": "question.scaffold",
    "InputError": "faults",
    "GateFailed": "faults",
}


def __getattr__(verb: str):
    """Import a verb when it is first used, so that importing the package stays quick."""
    if verb not in _VERBS:
        raise AttributeError(f"module 'gmfmsim' has no attribute {verb!r}")
    return getattr(import_module(f"gmfmsim.{_VERBS[verb]}"), verb)
