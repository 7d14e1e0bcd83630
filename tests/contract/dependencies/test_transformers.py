"""Names of transformers' continuous batching that Weir subclasses or uses and that are not public."""

import inspect

import pytest
from support.private_names import check, check_pin, names
from transformers import ContinuousBatchingConfig, LogitsProcessorList
from transformers.generation.continuous_batching import continuous_api, requests, scheduler
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList

from serving.engine.transformers_sampler import RequestSampler

PACKAGE = "transformers.generation.continuous_batching"
ENGINE, SAMPLER = "serving/engine/transformers_engine.py", "serving/engine/transformers_sampler.py"
NAMES = [
    *names(
        SAMPLER,
        f"{PACKAGE}.cb_logits_processors:ContinuousBatchingLogitsProcessor",
        __call__="self, scores, tensor_arg",
        fill_defaults="self, int32_tensor",
        prepare_tensor_args="self, requests_with_new_token",
    ),
    *names(SAMPLER, f"{PACKAGE}.requests:FutureRequestState", state=""),
    *names(
        ENGINE,
        f"{PACKAGE}.continuous_api:ContinuousBatchingManager",
        add_request="self, input_ids, request_id, max_new_tokens, streaming, record_timestamps, eos_token_id, "
        "**logit_processor_kwargs",
        cancel_request="self, request_id",
        is_running="self",
        register_result_handler="self, request_id, callback",
        start="self",
        stop="self, block, timeout, keep_for_next_session, hard_stop",
    ),
    *names(
        ENGINE,
        f"{PACKAGE}.continuous_api:ContinuousMixin",
        init_continuous_batching="self, generation_config, continuous_batching_config, workload_hints",
    ),
]


@pytest.mark.parametrize("private", NAMES, ids=lambda private: private.name)
def test_a_private_name_is_as_weir_expects(private):
    check(private)


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


@pytest.mark.parametrize(
    ("owner", "attribute"),
    [
        (continuous_api.ContinuousBatchingManager, "logit_processor"),
        (continuous_api.ContinuousBatchingManager, "output_router"),
        (continuous_api.ContinuousBatchingManager, "batch_processor"),
        (continuous_api.ContinuousBatchProcessor, "scheduler"),
        (continuous_api.OutputRouter, "_lock"),
        (continuous_api.OutputRouter, "result_handlers"),
        (scheduler.Scheduler, "active_requests"),
    ],
)
def test_an_instance_has_the_attribute(owner, attribute):
    assert f"self.{attribute}" in inspect.getsource(owner), f"look at {ENGINE}"


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


def test_the_version_is_pinned():
    check_pin("transformers")
