"""How a number was found, in the words of a protocol."""

from collections.abc import Iterator

from gmfmsim.compute.text import percent

LAWS = {
    "t": "the t statistic follows a non-central t distribution (Owen 1968)",
    "adjusted": "the statistic of the analysis of covariance follows a non-central t distribution, whose shift the "
    "chance imbalance of the baselines makes smaller (Owen 1968, Cochran 1957)",
    "normal": "the test statistic is normal",
    "welch": "Welch's statistic is integrated over the variances that the arms may show (Welch 1947)",
    "unequal": "the statistic is integrated over the variances that arms with unequal SDs may show",
    "looks": "the statistics at the looks are followed from look to look (Armitage 1969, Jennison 2000), of a t test "
    "with each bound where the non-central t distribution has it (Owen 1968)",
    "contrast": "the statistic of the contrast of the doses follows a non-central t distribution (Owen 1968)",
}
"""The law of the primary statistic given the truth, by its kind."""

SEVERAL = {
    "dunnett": "the primary analysis holds the error over all doses by Dunnett's test (Dunnett 1955)",
    "closed_dunnett": "the primary analysis holds the error over all doses by closed Dunnett tests (Dunnett 1955)",
    "mcp_mod": "the primary analysis holds the error over all shapes by MCP-Mod (Bretz 2005)",
}
"""Analyses that test several hypotheses, and how they hold the error."""


def several_tests(facts: dict) -> str:
    """Say how the error over several tests is held."""
    if "looks" in facts["passages"]:
        return "the bounds of the looks hold the error over all of them: one primary analysis of one comparison"
    one = "nothing to adjust for: one primary analysis of one comparison, no interim analysis"
    return SEVERAL.get(facts["method"], one)


def how_found(plan: dict) -> str:
    """Say whether the number was computed or simulated, and how."""
    if plan["plateau_mcse"] is None:
        found = {
            "assurance": "averaged over the posterior predictive distribution of the effect in a new study (O'Hagan "
            "2005),",
            "power": "taken at the target difference and averaged",
        }[plan["target"]["metric"]]
        return (
            f"Nothing was simulated: success of the primary analysis is {found} over the SD of the change, where that "
            "is not known, and over how many children stay, by numerical integration. The number is the smallest that "
            "reaches the target, and has no Monte Carlo error."
        )
    why = plan["protocol"]["why_simulated"] or "the posterior distribution of the effect was sampled"
    return (
        f"The number was found by simulation ({why}): {plan['replicates']:,} trials at a number, the same random "
        "numbers at all of them; figures with their Monte Carlo standard error, MCSE (Morris 2019)."
    )


def law_in_words(plan: dict) -> str:
    """Say the law of the primary statistic, where success is computed by it."""
    law = LAWS.get(plan["protocol"]["law"]) if plan["plateau_mcse"] is None else None
    return f"Given the true effect, the SD and the children who stay, {law}." if law else ""


def models_in_words(plan: dict) -> Iterator[str]:
    """Say where the distribution of the effect comes from."""
    evidence, models = plan["evidence"], plan["models"]
    if published := evidence["published"]:
        yield (
            f"The effect is the pooled estimate of {published['row']['meta_id']} as published: "
            f"{published['mean']:g} {plan['unit']}, standard error {published['se']:.3g}, between-study SD (tau) "
            f"{published['tau']:.3g}, {published['tau_derivation']}; no model was fitted."
        )
        return
    yield (
        f"The effect in a new study is that of a Bayesian meta-analysis of {plan['protocol']['evidence']} (after "
        f"Higgins 2009). {evidence['model_title']}."
    )
    if len(models) > 1:
        shares = ", ".join(f"{model['name']} {percent(model['share'])}" for model in models)
        how = "stacking (Yao 2018)" if plan["weights"] == "stacking" else "posterior probability (Hoeting 1999)"
        yield f"Models are averaged by {how}: {shares}."
