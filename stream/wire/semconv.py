"""Names of span attributes, from OpenTelemetry's semantic conventions of 2026.

The names are listed here because OpenTelemetry's Python constants of these conventions are deprecated.
"""

from typing import Final

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_REQUEST_STREAM: Final = "gen_ai.request.stream"
GEN_AI_REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P: Final = "gen_ai.request.top_p"
GEN_AI_REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_SEED: Final = "gen_ai.request.seed"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
ERROR_TYPE: Final = "error.type"

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
MESSAGING_DESTINATION_PARTITION_ID: Final = "messaging.destination.partition.id"
MESSAGING_CONSUMER_GROUP_NAME: Final = "messaging.consumer.group.name"
MESSAGING_KAFKA_OFFSET: Final = "messaging.kafka.offset"
MESSAGING_BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"

#: OpenTelemetry severity numbers.
SEVERITY_NUMBERS: Final = {"info": 9, "warning": 13, "critical": 17}

WEIR_REQUEST_ID: Final = "weir.request_id"
WEIR_TENANT: Final = "weir.tenant"
WEIR_EVENT_ID: Final = "weir.event_id"
WEIR_DETECTOR: Final = "weir.detector"
WEIR_DETECTOR_VERSION: Final = "weir.detector.version"
#: A detector's decision, on its span. The Collector keeps every trace with a flagged span (deploy/collector).
WEIR_FLAGGED: Final = "weir.flagged"
WEIR_GUARD_DETECTOR: Final = "weir.guard.detector"
WEIR_GUARD_EXPOSED_TOKENS: Final = "weir.guard.exposed_tokens"
WEIR_GUARD_STOPPED: Final = "weir.guard.stopped"
WEIR_ALERT_ID: Final = "weir.alert_id"
WEIR_RETRAINING_ID: Final = "weir.retraining_id"
WEIR_MODEL_VERSION: Final = "weir.model_version"
WEIR_ROUTE_EPOCH: Final = "weir.route.epoch"

#: Seconds: 0.01 times powers of two, up to 81.92 (GenAI metrics).
DURATION_BUCKETS: Final = tuple(0.01 * 2**power for power in range(14))
#: Tokens: powers of four, from 1 to 67108864 (GenAI metrics).
TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
