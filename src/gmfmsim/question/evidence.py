"""[evidence]: where contrasts or a published estimate come from, read once for all plans that name the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.individual_data import IndividualData, with_pool
from gmfmsim.evidence.joined import MOST_SOURCES, PACKAGE, digest_of, read_sources
from gmfmsim.evidence.pooled import PooledChoice, PooledEstimate, pooled_estimate
from gmfmsim.evidence.readings import ReadingChoice, read_contrasts
from gmfmsim.evidence.schema import Tables
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.evidence.uses import claims
from gmfmsim.evidence.what_if import Supposed, with_supposed
from gmfmsim.faults import Fault, InputError, choices
from gmfmsim.files.toml import Spec, key


def _names(value: object) -> object:
    """Return what names tables. Raises PydanticCustomError for what is neither a text nor a list of some texts."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and 1 <= len(names) <= MOST_SOURCES and all(isinstance(name, str) for name in names):
        return value
    words = f'"package", a folder or a flat CSV file, or a list of up to {MOST_SOURCES} of these'
    raise PydanticCustomError("tables", "{words}", {"words": words})


type TableNames = Annotated[str | list[str], BeforeValidator(_names)]
"""Where tables are read: "package", a folder or a flat CSV file; or a list of these, whose studies are put together."""

TABLES_WORDS = '"package", the shipped tables; or a folder or flat CSV file beside the experiment; or a list of these'

OF_CONTRASTS = {
    "select",
    "network",
    "individual_data",
    "month_correlation",
    "every_month",
    "readings",
    "what_if",
    "claims",
}
"""The keys of [evidence] that concern contrasts."""


class EvidenceSpec(Spec):
    """Where the evidence comes from: contrasts to fit a model to, or one published pooled estimate."""

    tables: Annotated[TableNames, key(TABLES_WORDS, example=["package", "pilots.csv"])] = PACKAGE
    select: Annotated[Selection | None, key("contrasts that enter")] = None
    individual_data: Annotated[
        IndividualData | None, key("pool of individual data, a contrast in place of those whose children it holds")
    ] = Field(default=None, exclude_if=lambda pool: pool is None)
    network: Annotated[
        bool, key("lets a treated arm in against several control arms of its study, which a model with epo tells apart")
    ] = Field(default=False, exclude_if=lambda network: not network)
    month_correlation: (
        Annotated[
            float,
            key(
                "of the errors of one arm at a month and at twice that month, which lets several months of it in",
                example=0.7,
                ge=0,
                lt=1,
            ),
        ]
        | None
    ) = None
    every_month: Annotated[bool, key("with each contrast its other months, of the same scale and measure")] = Field(
        default=False, exclude_if=lambda every: not every
    )
    readings: Annotated[
        ReadingChoice,
        key("of suspect figures: averaged over all, as they stand, or by study the one to take"),
    ] = "average"
    what_if: Annotated[list[Supposed], key("supposed results of trials without results")] = Field([])
    claims: Annotated[
        list[str],
        key(
            "figures of the two documents, by claim_id: limits say what uses each, or why nothing can", example=["R30"]
        ),
    ] = Field([], max_length=20, exclude_if=lambda named: not named)
    pooled: Annotated[PooledChoice | None, key("published estimate in place of contrasts")] = None

    @model_validator(mode="after")
    def _one_source(self):
        if (self.select is None) == (self.pooled is None):
            raise PydanticCustomError("evidence", "either select (contrasts) or pooled (a published estimate)")
        if self.pooled and self.model_fields_set & OF_CONTRASTS:
            words, asked = "{keys} with select: a published estimate has none", self.model_fields_set & OF_CONTRASTS
            raise PydanticCustomError("evidence", words, {"keys": ", ".join(sorted(asked))})
        if self.every_month and self.month_correlation is None:
            raise PydanticCustomError("evidence", "every_month with month_correlation: the same children are measured")
        return self

    @field_validator("claims")
    @classmethod
    def _of_the_documents(cls, named: list[str]) -> list[str]:
        known = [row["claim_id"] for row in claims()] if named else []
        for name in named:
            if name not in known:
                raise PydanticCustomError("claims", "{allowed}", {"allowed": choices(name, known)})
        return named


@dataclass(frozen=True)
class Evidence:
    """The tables, and of them the contrasts or the published estimate that a plan asks for."""

    tables: Tables | None = None
    contrasts: xr.Dataset | None = None
    published: PooledEstimate | None = None

    @property
    def in_words(self) -> str:
        """The evidence in a few words."""
        if self.published:
            return f"{self.published.row['meta_id']}, as published"
        studies, pool = self.contrasts["study"].values, self.contrasts.attrs.get("pool")
        pools, several = (1 if pool else 0), self.contrasts.sizes["reading"]
        words = f"{studies.size - pools} contrasts of {len(set(studies)) - pools} studies"
        words += f" and {pool}" if pool else ""
        return words if several == 1 else f"{words}, {several} combinations of readings"


@dataclass(frozen=True)
class Sources:
    """What an experiment file has read: its plans read the same tables, and the same contrasts of them, once.

    path: the experiment file, to whose folder the names of tables are relative.
    """

    path: Path
    tables: dict[tuple[str, ...], Tables | InputError] = field(default_factory=dict)
    digests: dict[tuple[str, ...], str | None] = field(default_factory=dict)
    found: dict[str, tuple[Evidence, tuple[Fault, ...]]] = field(default_factory=dict)

    def table(self, named: TableNames) -> Tables:
        """Return the tables of one name or several. Raises InputError with every fault, each time."""
        names = as_list(named)
        if names not in self.tables:
            try:
                self.tables[names] = read_sources(names, self.path.parent)
            except InputError as error:
                self.tables[names] = error
        known = self.tables[names]
        if isinstance(known, InputError):
            raise known
        return known

    def digest(self, named: TableNames) -> str | None:
        """Return the SHA-256 of the files that tables come from, as `digest_of`."""
        names = as_list(named)
        if names not in self.digests:
            self.digests[names] = digest_of(names, self.path.parent)
        return self.digests[names]

    def evidence(self, spec: EvidenceSpec) -> tuple[Evidence, list[Fault]]:
        """Return the evidence of a plan, as far as it could be read, and every fault."""
        key = spec.model_dump_json()
        if key not in self.found:
            self.found[key] = self._read(spec)
        evidence, faults = self.found[key]
        return evidence, list(faults)

    def _read(self, spec: EvidenceSpec) -> tuple[Evidence, tuple[Fault, ...]]:
        tables, file = None, self.path.name
        try:
            tables = self.table(spec.tables)
            if spec.pooled:
                return Evidence(tables, published=pooled_estimate(tables, spec.pooled, file)), ()
            return Evidence(tables, contrasts_of(spec, tables, file)), ()
        except InputError as error:
            return Evidence(tables), error.faults


def contrasts_of(spec: EvidenceSpec, tables: Tables, file: str = "experiment") -> xr.Dataset:
    """Return the contrasts that a plan asks for, under their readings. Raises InputError with every fault of a step."""
    chosen = select_contrasts(
        tables,
        spec.select,
        file,
        month_correlation=spec.month_correlation,
        every_month=spec.every_month,
        network=spec.network,
    )
    if spec.individual_data:
        chosen = with_pool(chosen, tables, spec.individual_data, file)
    if spec.what_if:
        chosen = with_supposed(chosen, tables, spec.what_if, file)
    return read_contrasts(chosen, tables, spec.readings, file)


def with_more(spec: EvidenceSpec, one: Supposed) -> EvidenceSpec:
    """Return the evidence with one more supposed result."""
    return spec.model_copy(update={"what_if": [*spec.what_if, one]})


def as_list(named: TableNames) -> tuple[str, ...]:
    """Return the names of tables, one or several."""
    return (named,) if isinstance(named, str) else tuple(named)


def copies_of(named: TableNames, tables: Tables) -> dict[str, Tables]:
    """Return a user's own tables among those named, by where a result keeps a copy of them."""
    parts = zip(as_list(named), tables.parts or (tables,), strict=True)
    return {part.copy_name: part for name, part in parts if name != PACKAGE}


def as_copied(named: TableNames, tables: Tables) -> TableNames:
    """Return what an experiment in the folder of a result calls tables: its copies in place of a user's own."""
    parts = zip(as_list(named), tables.parts or (tables,), strict=True)
    names = [name if name == PACKAGE else part.copy_name for name, part in parts]
    return names[0] if isinstance(named, str) else names


def read_from(tables: Tables) -> dict[str, str]:
    """Return the SHA-256 of the tables that were read.

    Beside a user's own also that of the shipped ones: they are the field that these are judged by, and that gives SDs
    where these have too few.
    """
    shipped = shipped_tables().sha256
    return {"tables": tables.sha256} | ({} if tables.sha256 == shipped else {"field": shipped})
