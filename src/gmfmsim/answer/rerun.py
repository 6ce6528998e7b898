"""What a review rerun comes to: counts by verdict, a sentence, and every check with its figures and rows."""

import dataclasses
from collections import Counter

from gmfmsim.answer.result import Outcome
from gmfmsim.evidence.rerun.checks import CheckResult
from gmfmsim.progress import Silent
from gmfmsim.question.rerun import Rerun

VERDICTS = ("reproduced", "not reproduced", "benchmark", "cannot be reproduced")


def rerun_outcome(rerun: Rerun, progress: Silent) -> Outcome:
    """Return what answer.json says: the sentence, the counts by verdict, how many of the reproduced are circular,
    and every check with its figures and rows."""
    found = Counter(r.verdict for r in rerun.results)
    verdicts = {v: found[v] for v in VERDICTS}
    answer = {
        "review": rerun.review,
        "sentence": sentence(rerun),
        "verdicts": verdicts,
        "circular": sum(r.circular is not None and r.verdict == "reproduced" for r in rerun.results),
        "checks": [_as_dict(r) for r in rerun.results],
    }
    return Outcome(answer, {}, {"evidence_sha256": rerun.tables.sha256, "verdicts": verdicts})


def sentence(rerun: Rerun) -> str:
    """Say in a sentence or two what follows from the figures of the trials and what does not."""
    results = rerun.results
    of_verdict = {v: [r for r in results if r.verdict == v] for v in VERDICTS}
    good, bad, beside, closed = (of_verdict[v] for v in VERDICTS)
    text = []
    if good or bad:
        solved = sum(r.circular is not None for r in good)
        reservation = f", {solved} of them with an input that is the review's own" if solved else ""
        checks = f"{len(good)} of {len(good) + len(bad)} checks of {rerun.review}"
        text.append(f"Reproduced: {checks}{reservation}.")
    for words, group in (("Not reproduced", bad), ("Cannot be reproduced", closed), ("Benchmark only", beside)):
        if group:
            text.append(f"{words}: {'; '.join(r.title for r in group)}.")
    text += [_other_readings(r) for r in results if r.kind == "pooled_smd" and r.variants]
    return " ".join(text)


def _other_readings(result: CheckResult) -> str:
    """Say how far the pooled effect and its heterogeneity move under the other readings of a check."""
    ranges = []
    for name, words, form in (("estimate", "the pooled SMD", "{:.2f}"), ("i2_pct", "I2", "{:.1f} %")):
        printed = result.figure(name).published
        values = [f.computed for v in result.variants for f in v.figures if f.name == name]
        low, high = (form.format(x) for x in (min(values), max(values)))
        ranges.append(f"{words} is {low} to {high}" + (f" (printed: {form.format(printed)})" if printed else ""))
    return f"{result.title}, read otherwise: {' and '.join(ranges)}."


def _as_dict(result: CheckResult) -> dict:
    """Return a check as plain values, with what its properties say; differences without the noise of binary."""

    def figures(of) -> list[dict]:
        apart = [None if f.difference is None else round(f.difference, 10) for f in of.figures]
        pairs = zip(of.figures, apart, strict=True)
        return [dataclasses.asdict(f) | {"difference": d, "agrees": f.agrees} for f, d in pairs]

    plain = dataclasses.asdict(result) | {"figures": figures(result)}
    plain["variants"] = [v | {"figures": figures(o)} for v, o in zip(plain["variants"], result.variants, strict=True)]
    return {"kind": result.kind, "title": result.title, "verdict": result.verdict} | plain
