"""The posterior as a result keeps it: the draws, what they say of the next trial, and a name and unit on everything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gmfmsim.compute.labels import xr
from gmfmsim.model.average import Member
from gmfmsim.model.checks import Checks
from gmfmsim.model.curves import POINTS
from gmfmsim.model.draws import choose
from gmfmsim.model.effect import INTERVAL_PROB, Condition, deviations, effect_draws
from gmfmsim.model.truths import exact_belief
from gmfmsim.model.under_reading import reading_probability
from gmfmsim.streams import stream

OWN, SHARE, NONE = "points of the contrast's own scale", "share", "1"
SDS = "standard deviations"
NAMES = {
    "mu": ("Mean of study effects", POINTS),
    "slope": ("Slope of the mean effect by dose", POINTS),
    "emax": ("Mean effect of a dose without limit", POINTS),
    "effect_at_1e8": ("Mean effect at 1e8 cells/kg", POINTS),
    "plateau": ("Mean effect of doses from which on the curve is flat", POINTS),
    "ed50": ("Dose of half the largest effect", "cells/kg"),
    "threshold": ("Dose from which on there is an effect", "cells/kg"),
    "hill": ("Steepness of the curve", NONE),
    "delta": ("Dose by which the exponential curve grows e-fold", "cells/kg"),
    "bend": ("Bend of the quadratic curve", NONE),
    "stick_1": ("First share of the rise of the spline", SHARE),
    "stick_2": ("Second share of the rise of the spline", SHARE),
    "tau": ("SD of the amplitude between studies", POINTS),
    "tau_arm": ("SD of the amplitude between arms of a study", POINTS),
    "tau_class": ("SD of the amplitude between classes of cells", POINTS),
    "tau_group": ("SD of the amplitude between countries", POINTS),
    "rho": ("Correlation of a study's deviations at two months", NONE),
    "rise": ("Months in which an effect reaches 63 % of what it rises to", "months"),
    "peak": ("Month from which an effect declines", "months"),
    "decline": ("Months in which an effect falls to 37 %, once it declines", "months"),
    "nu": ("Degrees of freedom of study effects", NONE),
    "r": ("GMFM-66 points per point of another GMFM scale", "GMFM-66 points per point"),
    "class_effect": ("What cells of a class add to the amplitude", POINTS),
    "route_effect": ("What a route adds to the amplitude", POINTS),
    "month_effect": ("What a month adds to the amplitude", POINTS),
    "group_effect": ("What a country adds to the amplitude", POINTS),
    "age_slope": ("What a year of age adds to the amplitude", POINTS),
    "claimed_age_slope": ("What children of 3 to 10 years add to the amplitude beyond others", POINTS),
    "gmfcs_slope": ("What a GMFCS level adds to the amplitude", POINTS),
    "infusions_slope": ("What twice as many infusions add to the amplitude", POINTS),
    "epo_effect": ("Effect of erythropoietin without cells", POINTS),
    "design_bias": ("What the effect gains where children were not randomised", POINTS),
    "small_study": ("What the effect gains per unit of sqrt(1/n_active + 1/n_control)", POINTS),
    "pet": ("What the effect gains per unit of its standard error", NONE),
    "peese": ("What the effect gains per unit of its squared standard error", "1 per GMFM-66 point"),
    "spread_offset": ("Offset of the logarithm of a standard error that is not printed", SDS),
    "dose_offset": ("Offset of the logarithm of a dose that is known with error", SDS),
    "theta": ("True effect of a contrast", POINTS),
    "y": ("Effect as reported: active minus control", OWN),
    "reading": ("Which combination of readings of suspect figures a draw has, from 0", NONE),
    "mean": ("Mean effect of studies in an arm against dose 0", POINTS),
    "scatter": ("Scale of the effects of new studies around their mean", POINTS),
    "df": ("Degrees of freedom of the effects of new studies, infinite where normal", NONE),
    "new_study": ("Effect in a new study in an arm against dose 0", POINTS),
    "weight": ("Probability, of a component or a priori of a combination of readings", NONE),
    "sd": ("Standard deviation of a component", POINTS),
    "elpd_contrast": ("Log density of a contrast given all other contrasts", "log density"),
    "elpd_study": ("Log density of a block of studies given all others", "log density"),
    "diverging": ("Whether a transition diverged", NONE),
    "energy": ("Energy of the Hamiltonian", "log density"),
    "lp": ("Log density of the posterior, not normalised", "log density"),
    "logp": ("Log density of the posterior, not normalised", "log density"),
    "tree_depth": ("Depth of the tree of a transition", NONE),
    "n_steps": ("Leapfrog steps of a transition", NONE),
    "step_size": ("Step size", NONE),
    "acceptance_rate": ("Acceptance of a transition", SHARE),
    "effect": ("Effect as read: active minus control", OWN),
    "se": ("Standard error of the effect, its median where it is not known", OWN),
    "log_se_sd": ("SD of the logarithm of the standard error, 0 where it is known", NONE),
    "covariance": ("Covariance of the effects", "squared points of the contrasts' own scales"),
    "control_se": ("Standard error of the control arm's mean", OWN),
    "dose": ("Total cells over all infusions", "cells/kg"),
    "control_dose": ("Total cells of the control arm", "cells/kg"),
    "log10_dose": ("Decimal logarithm of the dose", "log10 cells/kg"),
    "infusions": ("Infusions of the treated arm", NONE),
    "epo": ("Erythropoietin in the arm with cells less that in its control arm: 1, 0 or -1", NONE),
    "log10_dose_sd": ("SD of the decimal logarithm of the dose", "log10 cells/kg"),
    "gmfm66": ("Whether the contrast was measured on the GMFM-66", NONE),
    "month": ("Months since the first infusion", "months"),
    "age": ("Mean age of the children", "years"),
    "gmfcs": ("Mean GMFCS level of the children", "level"),
    "age_sd": ("SD of what the mean age may be, 0 where it is printed", "years"),
    "claimed_age": ("Share of the children who are of 3 to 10 years", SHARE),
    "claimed_age_sd": ("SD of what that share may be", SHARE),
    "gmfcs_sd": ("SD of what the mean GMFCS level may be, 0 where levels are counted", "level"),
    "randomised": ("Share of a contrast that is randomised: 1, or 0", NONE),
    "pooled_trials": ("Trials whose mean a contrast is: 1, or those of a pool of individual data", NONE),
    "n_active": ("Children with cells", "children"),
    "n_control": ("Children in the control arm", "children"),
    "row": ("Row of the file, 0 for a supposed result", NONE),
    "supposed": ("Whether the result is supposed and not found", NONE),
    "chain": ("Chain", NONE),
    "draw": ("Draw", NONE),
}
"""What variables are, and in what unit where their priors do not say so; others are labels and texts."""


def kept(
    member: Member, arms: Mapping[str, Condition], active: str, data: xr.Dataset | None, found: Checks | None, seed: int
) -> xr.DataTree:
    """Return the tree of a model with what its answer says of the arms of the next trial, everything named.

    To the groups of `data_tree` come predictions (chain, draw, arm): `mean`, `scatter`, `df` of `effect_draws` and a
    draw of the effect in a `new_study`, one deviation for all arms; belief (component): the predictive mixture of the
    new study's effect in the active arm where the posterior is exact, on grids (dist.mixture); leave_one_out:
    exact log densities of contrasts and blocks of studies; check/sample_stats of the sampler that checked an exact
    posterior. posterior gains `reading` (chain, draw), the combination that a draw has, from P(reading | draw, y).
    data and found: the contrasts and checks; None of a published estimate.

    Every variable has attrs long_name and unit; the root title, model, and kind and probability of intervals.
    """
    groups = {name: group.to_dataset() for name, group in member.tree.children.items()}
    if data is not None:
        p = reading_probability(member.tree, data).values
        number = choose(p, stream(seed, "reading of a draw"))
        groups["posterior"] = groups["posterior"].assign(reading=(("chain", "draw"), number))
    effects = effect_draws(member.tree, member.curve, arms)
    z = deviations(effects, stream(seed, "predictions")).reshape(effects["df"].shape)
    new = effects["mean"] + effects["scatter"] * xr.DataArray(z, dims=("chain", "draw"))
    groups["predictions"] = effects.assign(new_study=new.transpose("chain", "draw", "arm"))
    if member.mixture is not None:
        unit = {"unit": member.published.estimate.unit} if member.published else {}
        groups["belief"] = (
            exact_belief(member.mixture, member.curve, arms[active]).dataset().assign_attrs(unit, arm=active)
        )
    if found is not None and member.fit.exact:
        elpd = {"elpd_contrast": found.contrasts["elpd"], "elpd_study": found.studies["elpd"]}
        groups["leave_one_out"] = xr.Dataset(elpd)
    if member.fit and member.fit.check_stats is not None:
        groups["check/sample_stats"] = member.fit.check_stats
    units = dict(_units(member))
    tree = xr.DataTree.from_dict({name: _named(name, group, units) for name, group in groups.items()})
    tree.attrs |= {
        "title": member.spec.title if member.spec else "Published pooled estimate, no model fitted",
        "model": member.name,
        "interval": "equal-tailed",
        "interval_prob": INTERVAL_PROB,
    }
    return tree


def _units(member: Member) -> Iterator[tuple[str, str]]:
    """Return the units that the model or the published estimate gives."""
    if member.published:
        own, unit = ("mu", "tau", "mean", "scatter", "new_study", "sd"), member.published.estimate.unit
    else:
        a = member.curve.amplitude
        own, unit = ("class_effect", "group_effect", f"study_{a}"), member.spec.priors[a].unit
        yield from ((name, prior.unit) for name, prior in member.spec.priors.items())
    yield from ((name, unit) for name in own)


def _named(group: str, data: xr.Dataset, units: Mapping[str, str]) -> xr.Dataset:
    """Return a group with long_name and unit on every variable."""

    def named(name: str, variable: xr.DataArray) -> xr.DataArray:
        words, unit = NAMES.get(name, (name.replace("_", " ").capitalize(), "label"))
        words = "Amplitude of the curve in a study" if name.startswith("study_") else words
        unit = units.get(name, unit) if group in ("posterior", "prior", "predictions", "belief") else unit
        if group in ("log_likelihood", "log_prior"):
            words, unit = f"Log density of {name}", "log density"
        return variable.assign_attrs({"long_name": words, "unit": unit})

    data = data.assign_coords({name: named(name, x) for name, x in data.coords.items()})
    return data.assign({name: named(name, x) for name, x in data.data_vars.items()})
