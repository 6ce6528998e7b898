"""The graph of a model: the variables that PyMC has, and what each depends on."""

from dataclasses import dataclass

import xarray as xr

from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.structure import structure


@dataclass(frozen=True)
class Node:
    """A variable of the PyMC model: kind (sampled, derived, observed, data), distribution, dims with sizes, parents."""

    name: str
    kind: str
    distribution: str
    dims: tuple[tuple[str, int], ...]
    parents: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name with its dims."""
        return self.name + "".join(f"[{dim}: {size}]" for dim, size in self.dims)


def model_graph(spec: ModelSpec, data: xr.Dataset) -> tuple[Node, ...]:
    """Return the variables of the PyMC model of `build`, parents before children; nothing is compiled."""
    from pymc.model_graph import ModelGraph

    from gmfmsim.model.nuts import build

    model, known = build(spec, data), structure(spec, data)
    priors = dict(known.parameters) | {c.variable: c.prior for c in known.coefficients if not c.pooled}
    laws = {name: str(prior) for name, prior in priors.items()} | {"y": "mixture of MvNormal"}
    parents = ModelGraph(model).make_compute_graph()
    observed, sampled = {v.name for v in model.observed_RVs}, {v.name for v in model.free_RVs}
    left, nodes = list(parents), []
    while left:  # every round takes those whose parents stand already
        done = {node.name for node in nodes}
        ready = [name for name in left if parents[name] <= done]
        for name in sorted(ready, key=list(model.named_vars).index):
            kind = "observed" if name in observed else "sampled" if name in sampled else "derived"
            kind = "data" if name in {v.name for v in model.data_vars} else kind
            law = laws.get(name) or (_law(model[name]) if kind == "sampled" else "")
            dims = tuple((dim, len(model.coords[dim])) for dim in model.named_vars_to_dims.get(name, ()))
            nodes.append(Node(name, kind, law, dims, tuple(n.name for n in nodes if n.name in parents[name])))
        left = [name for name in left if name not in ready]
    return tuple(nodes)


def _law(variable) -> str:
    """Return the distribution of a variable as PyMC writes it."""
    return variable.str_repr().partition(" ~ ")[2]
