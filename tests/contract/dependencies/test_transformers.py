"""Behaviour of transformers' continuous batching that Weir relies on and that is not public."""

from transformers import ContinuousBatchingConfig, LogitsProcessorList
from transformers.generation.continuous_batching import requests
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList

from serving.engine.transformers_sampler import RequestSampler

SAMPLER = "serving/engine/transformers_sampler.py"


def test_the_sampler_replaces_every_processor_of_a_manager():
    processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList())
    known = set(vars(processors))
    sampler = RequestSampler()
    sampler.install(processors)
    assert set(vars(processors)) == known, f"install sets attributes that nothing reads; look at {SAMPLER}"
    assert list(processors.logits_processor) == [sampler]
    assert (processors.tensors_required, processors.do_processing) == (1, True)


def test_the_abstract_methods_of_a_processor_are_those_that_the_sampler_has():
    base = RequestSampler.__mro__[1]
    assert base.__abstractmethods__ == {"__call__", "fill_defaults", "prepare_tensor_args"}, f"look at {SAMPLER}"


def test_outputs_and_settings_have_the_fields_that_weir_uses():
    assert {"error", "generated_tokens", "request_id"} <= requests.GenerationOutput.__dataclass_fields__.keys()
    ContinuousBatchingConfig(
        block_size=64,
        max_requests_per_batch=2,
        use_async_batching=False,
        use_cuda_graph=False,
        num_blocks=2,
        max_batch_tokens=4,
    )
