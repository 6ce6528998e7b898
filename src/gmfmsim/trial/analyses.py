"""The analyses that a protocol may name, told apart by `method`: each in its file of trial.analyse."""

from typing import Annotated

from pydantic import Field

from gmfmsim.trial.analyse.ancova import Ancova
from gmfmsim.trial.analyse.bayes import Bayes
from gmfmsim.trial.analyse.closed_dunnett import ClosedTest
from gmfmsim.trial.analyse.cluster_t import ClusterT
from gmfmsim.trial.analyse.dunnett import Dunnett
from gmfmsim.trial.analyse.historical import Historical
from gmfmsim.trial.analyse.mcp_mod import McpMod
from gmfmsim.trial.analyse.mmrm import Mmrm
from gmfmsim.trial.analyse.one_sample import OneSample
from gmfmsim.trial.analyse.paired_t import PairedT
from gmfmsim.trial.analyse.responder import Responder
from gmfmsim.trial.analyse.t_test import TTest
from gmfmsim.trial.analyse.trend import Trend
from gmfmsim.trial.analyse.wilcoxon import Wilcoxon
from gmfmsim.trial.analyse.within_child import WithinChild

BETWEEN_ARMS = (TTest, Ancova, Mmrm, Responder, Wilcoxon, Bayes)
"""Analyses of one contrast between arms of individually randomised children."""

ALONG_DOSES = (Trend, Dunnett, ClosedTest, McpMod)
"""Analyses of several doses and control."""

AnyAnalysis = Annotated[
    TTest
    | Ancova
    | Mmrm
    | Trend
    | Dunnett
    | ClosedTest
    | McpMod
    | Responder
    | Wilcoxon
    | Bayes
    | WithinChild
    | PairedT
    | ClusterT
    | OneSample
    | Historical,
    Field(discriminator="method"),
]
