"""Check an experiment without computing it: valid or not, and what a run would do."""

from gmfmsim.question.question import Question
from gmfmsim.question.rerun import Rerun


def checked(question: Question) -> dict:
    """Return what a run of an experiment would do: its plans with their contrasts, or the checks of a review."""
    found = {"experiment": question.name, "key": question.key, "question": question.text, "plans": []}
    if isinstance(question.asked, Rerun):
        found["checks"] = [{"kind": r.kind, "title": r.title} for r in question.asked.results]
    for p in question.plans:
        plan = {
            "label": p.plan.label,
            "evidence": p.source,
            "contrasts": [] if p.contrasts is None else p.contrasts["contrast"].values.tolist(),
            "model": ", ".join(p.models) or "none",
            "target": p.plan.search.target.model_dump(),
            "dose_outside_evidence": p.dose_outside_evidence,
            "month_outside_evidence": p.month_outside_evidence,
            "notes": p.notes,
        }
        found["plans"].append(plan)
    return found | {"config": question.config}
