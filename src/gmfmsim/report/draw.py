"""Draw a result folder: figures and page from what stands in it. Nothing is fitted or simulated here."""

from pathlib import Path

from gmfmsim.answer.result import Result
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.report.claim import claim_page
from gmfmsim.report.compared import compared_page
from gmfmsim.report.page import plans_page
from gmfmsim.report.past import past_page
from gmfmsim.report.rerun import rerun_page
from gmfmsim.report.safety import safety_page
from gmfmsim.report.who import who_page

PAGES = {
    "plans": plans_page,
    "past": past_page,
    "rerun": rerun_page,
    "claim": claim_page,
    "safety": safety_page,
    "who": who_page,
    "compared": compared_page,
}


def draw(result: Result, advance: Steps = UNSEEN) -> Path:
    """Draw the figures of a result into its folder, write report.html there, and return its path; advance: by figures.

    Raises InputError if the folder lacks its data: the readable part alone is kept in a clone.
    """
    PAGES[result.kind](result, advance)
    return result.report
