"""The designs that designs/*.toml may declare, told apart by `kind`: each in its file of trial.kinds."""

from typing import Annotated, get_args

from pydantic import Field

from gmfmsim.trial.design import Design
from gmfmsim.trial.kinds.cluster import Cluster
from gmfmsim.trial.kinds.crossover import Crossover
from gmfmsim.trial.kinds.factorial import Factorial
from gmfmsim.trial.kinds.pairs import Pairs
from gmfmsim.trial.kinds.parallel import ParallelArms
from gmfmsim.trial.kinds.single_arm import SingleArm

AnyKind = ParallelArms | Factorial | Crossover | Pairs | Cluster | SingleArm
AnyDesign = Annotated[AnyKind, Field(discriminator="kind")]

KINDS: tuple[type[Design], ...] = get_args(AnyKind)
