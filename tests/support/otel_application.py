"""An application that calls a provider with the openai client and exports its telemetry; the environment configures the exporters.

Usage: python otel_application.py MODULE_OF_THE_INSTRUMENTATION PROVIDER_URL
"""

import importlib
import sys
from contextlib import suppress

import openai
from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def main(module, provider_url):
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    trace.set_tracer_provider(tracers)
    set_logger_provider(loggers)
    importlib.import_module(module).OpenAIInstrumentor().instrument(tracer_provider=tracers, logger_provider=loggers)

    client = openai.OpenAI(base_url=provider_url, api_key="none", max_retries=0)
    with trace.get_tracer("application").start_as_current_span("turn"):
        calls(client)
    tracers.shutdown()
    loggers.shutdown()


def calls(client):
    system = {"role": "system", "content": "Answer in one sentence."}
    user = {"role": "user", "content": "Mail me at ann.lee@example.org"}
    chat = client.chat.completions.create
    chat(model="plain", messages=[system, user], temperature=0.2, max_tokens=64, seed=7)
    for _ in chat(model="streamed", messages=[user], stream=True, stream_options={"include_usage": True}):
        pass
    chat(model="tool", messages=[user], tools=[TOOL])
    for _ in chat(model="streamed-tool", messages=[user], tools=[TOOL], stream=True):
        pass
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    turn = [
        user,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "-3"},
    ]
    chat(model="result", messages=turn, tools=[TOOL])
    chat(model="two", messages=[user], n=2)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    chat(model="image", messages=[{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])
    with suppress(openai.OpenAIError):
        chat(model="broken", messages=[user])
    client.embeddings.create(model="embedding", input="hi")
    client.responses.create(model="response", instructions="Be brief.", input="Mail me at ann.lee@example.org")


if __name__ == "__main__":
    main(*sys.argv[1:])
