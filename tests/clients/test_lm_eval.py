"""lm-eval's `local-completions`, which runs in the separate environment `.venv-clients`."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.clients_gateway import MODEL
from support.gateway import KEY

TASK = Path(__file__).parent / "lm_eval"
LM_EVAL = Path(__file__).parents[2] / ".venv-clients" / "bin" / "lm_eval"
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OPENAI_API_KEY": KEY}


@pytest.fixture
def questions(tmp_path):
    """Write the task with the path of its questions; return its folder and the questions."""
    data = TASK / "ten_questions.jsonl"
    task = (TASK / "ten_questions.yaml").read_text().replace("DATA", str(data))
    (tmp_path / "ten_questions.yaml").write_text(task)
    return tmp_path, [json.loads(line) for line in data.read_text().splitlines()]


@pytest.fixture(autouse=True)
def lm_eval_is_installed():
    if not LM_EVAL.exists():
        pytest.fail(f"{LM_EVAL} does not exist: run `make test-clients`, which installs lm-eval")


# Use the request and the sum of log-probabilities of lm-eval. The task runner of lm-eval needs transformers to count the tokens of a
# context; this script counts them in the response.
_LIKELIHOODS = """
import json, sys
from lm_eval.models.openai_completions import LocalCompletionsAPI

model, url, pairs = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
api = LocalCompletionsAPI(model=model, base_url=url, tokenizer_backend="None", tokenized_requests=False, max_retries=1)
for context, continuation in pairs:
    response = api.model_call([context + continuation], generate=False)
    offsets = response["choices"][0]["logprobs"]["text_offset"]
    print(api.parse_logprobs(response, ctxlens=[offsets.index(len(context))])[0][0])
"""


def test_loglikelihood(gateway):
    pairs = [
        (f"The capital of {country} is", f" {city}")
        for country in ("France", "Japan")
        for city in ("Paris", "Tokyo", "Madrid")
    ]
    command = [LM_EVAL.with_name("python"), "-c", _LIKELIHOODS, MODEL, f"{gateway.url}/completions", json.dumps(pairs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | OFFLINE)
    assert done.returncode == 0, done.stderr[-3000:]
    values = [float(line) for line in done.stdout.split()]
    assert all(-30 < value < 0 for value in values)
    assert (max(values[:3]), max(values[3:])) == (values[0], values[4])
    exchanges = gateway.exchanges(len(pairs))
    assert sorted(request.text for request, _ in exchanges) == sorted(map("".join, pairs))
    assert {end.usage.completion_tokens for _, end in exchanges} == {1}


@pytest.mark.timeout(400)
def test_generate_until(gateway, questions):
    folder, asked = questions
    arguments = f"model={MODEL},base_url={gateway.url}/completions,num_concurrent=2,max_retries=1"
    command = [LM_EVAL, "--model", "local-completions", "--tasks", "ten_questions", "--include_path", folder]
    command += ["--model_args", f"{arguments},tokenizer_backend=None,tokenized_requests=False"]
    command += ["--output_path", folder, "--log_samples"]
    environment = os.environ | OFFLINE | {"HF_HOME": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=380, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    (results,) = folder.glob("*/results_*.json")
    score = json.loads(results.read_text())["results"]["ten_questions"]["exact_match,none"]
    print(f"exact match: {score:.0%}")
    assert score >= 0.3
    exchanges = gateway.exchanges(len(asked))
    questions_asked = sorted(request.text.split("Question: ")[-1] for request, _ in exchanges)
    assert questions_asked == sorted(f"{one['question']}\nAnswer:" for one in asked)
    (samples,) = folder.glob("*/samples_*.jsonl")
    answers = sorted(json.loads(line)["resps"][0][0] for line in samples.read_text().splitlines())
    assert sorted(end.text for _, end in exchanges) == answers
    assert {(request.operation, end.status) for request, end in exchanges} == {("text_completion", "complete")}
