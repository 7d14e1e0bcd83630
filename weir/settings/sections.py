"""Sections of the settings that are the command's own: traces, their local view, the console, metrics, sentinels."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from stream.address import Address, Link

__all__ = ["ConsoleSection", "MetricsSection", "MlflowSection", "SentinelSection", "TraceSection"]


class TraceSection(BaseModel):
    """``[trace]``: where spans go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Address = Field(
        Address(""),
        description="OTLP/HTTP traces URL, user:password@ in it are sent and never shown; empty: the local MLflow, where it runs",
    )
    ratio: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="share of new traces that are kept")
    view: Link = Field(
        "",
        description="page of a trace, {trace_id} in its place (http://127.0.0.1:16686/trace/{trace_id}); empty: the local MLflow's",
        pattern=r"^$|^https?://\S*\{trace_id\}\S*$",
    )


class MlflowSection(BaseModel):
    """``[mlflow]``: the local trace view."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="start MLflow with the stack")
    experiment: str = Field("0", description="experiment id that traces are filed under")


class ConsoleSection(BaseModel):
    """``[console]``: the page that the ledger's process serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="serve the console beside the ledger")
    host: str = Field(
        "127.0.0.1", description="address to listen on; plain HTTP, so beyond loopback only where you say so"
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="0: a free one, kept in ports.json; a number, for a process that has a container of its own"
    )
    names: tuple[str, ...] = Field(
        (),
        description="more names (or name:port) that a request may give as its host, as behind a published port; links bear the first",
    )


class MetricsSection(BaseModel):
    """``[metrics]``: where a process answers ``/metrics`` and ``/healthz``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to listen on; beyond loopback only where you say so")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="0: a free one, kept in ports.json; a number, for a process that has a container of its own"
    )
    serving_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0,
        description="where gateways and model replicas answer too, for one of them a container, as under KubeRay; 0: on loopback alone",
    )


class SentinelSection(BaseModel):
    """``[sentinel]``: Weir's own fixed prompts. Off by default: they spend the model's time, and who runs it decides that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(
        False, description="ask the fixed prompts, to tell a change of the model from one of its inputs"
    )
    every_seconds: Annotated[float, Field(ge=1)] = Field(
        60, description="between two prompts; at most half of tenant _weir's alerts.resolve_after_seconds"
    )
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = Field(32, description="of an answer, at most")
