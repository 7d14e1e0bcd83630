"""Kill -9 at any moment: the run continues, and its adapter equals that of an uninterrupted run, bit for bit."""

import random

import pytest
from support.tiny_gguf import save_tiny_gguf
from support.tiny_training import ForkedRun, save_dataset, tiny_job
from transformers import TrainerCallback

from stream.loop.training.checkpoints import newest_checkpoint, step_of
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import VersionFolder
from stream.loop.training.lora import make_trainer
from stream.loop.training.rows import training_rows, training_table
from stream.loop.training.signing import verify_version


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("method", ["sft", "kto"])
def test_a_run_that_is_killed_three_times_trains_the_same_adapter(tmp_path, base, method):
    job = tiny_job(base, save_dataset(tmp_path / "data", kind=method), method=method)
    whole = ForkedRun(tmp_path / "whole", "run", job).trained()
    assert whole.numbers["step"] == 12

    home, draw = tmp_path / "killed", random.Random(method)
    first = ForkedRun(home, "run", job)
    last_step = draw.randrange(2, 5)
    first.until(lambda: len(first.lines) >= last_step)
    first.kill()
    _kill_while_a_checkpoint_is_written(home, job)
    third = ForkedRun(home, "run", job)
    third.until(lambda: len(third.lines) >= draw.randrange(2, 4))
    third.kill()
    resumed = newest_checkpoint(third.folder.checkpoints, job.weights_key())
    assert resumed is not None
    assert step_of(resumed.path) >= last_step
    last = ForkedRun(home, "run", job)
    assert last.trained().version == whole.version
    assert last.lines[0].step == step_of(resumed.path) + 1  # it continued from the checkpoint
    digests = [verify_version(root, whole.version).adapter_digest for root in (home, tmp_path / "whole")]
    assert digests[0] == digests[1]
    assert VersionFolder.of(home, whole.version).merged.exists()


def _kill_while_a_checkpoint_is_written(home, job):
    written = None
    while written is None:  # retry if the checkpoint was complete before the signal
        run = ForkedRun(home, "run", job)
        run.until(lambda run=run: run.lines)  # at its start, a run deletes the drafts of the previous run
        run.until(lambda run=run: any(run.folder.draft.glob("checkpoint-*")))
        run.kill()
        written = next(run.folder.draft.glob("checkpoint-*"), None)


def test_a_run_continues_from_the_newest_undamaged_checkpoint(tmp_path, base):
    job = tiny_job(base, save_dataset(tmp_path / "data"))
    whole = ForkedRun(tmp_path / "whole", "run", job).trained()
    home = tmp_path / "killed"
    run = ForkedRun(home, "run", job)
    run.until(lambda: len(run.lines) >= 5)
    run.kill()
    newest = newest_checkpoint(run.folder.checkpoints, job.weights_key())
    weights = newest.path / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    older = newest_checkpoint(run.folder.checkpoints, job.weights_key())
    assert step_of(older.path) < step_of(newest.path)
    again = ForkedRun(home, "run", job)
    assert again.trained().version == whole.version
    assert again.lines[0].step == step_of(older.path) + 1


def test_sigterm_ends_a_run_after_a_checkpoint(tmp_path, base):
    job = tiny_job(base, save_dataset(tmp_path / "data"), checkpoint_seconds=1000.0)
    run = ForkedRun(tmp_path, "run", job)
    run.until(lambda: len(run.lines) >= 2)
    run.process.terminate()
    run.process.join(30)
    assert run.process.exitcode == 75
    assert step_of(newest_checkpoint(run.folder.checkpoints, job.weights_key()).path) >= 2


def test_other_settings_do_not_continue_a_run(tmp_path, base):
    data = save_dataset(tmp_path / "data")
    run = ForkedRun(tmp_path, "run", tiny_job(base, data))
    run.until(lambda: len(run.lines) >= 4)
    run.kill()
    other = ForkedRun(tmp_path, "run", tiny_job(base, data, rank=4))
    other.trained()
    assert other.lines[0].step == 1


def test_rows_whose_prompts_fill_the_limit_are_an_error_that_names_it(tmp_path, base):
    job = tiny_job(base, save_dataset(tmp_path / "data"), max_tokens=2)
    with pytest.raises(TrainingError, match=r"none of 24 rows fits: each prompt has max_tokens = 2 tokens or more"):
        make_trainer(
            job, training_rows(training_table(tmp_path / "data", "sft"), "sft"), tmp_path / "draft", TrainerCallback()
        )
