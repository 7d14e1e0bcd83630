import asyncio

from stream.runtime.task_window import TaskWindow


async def test_the_number_of_running_tasks_is_bounded_and_failures_are_reported():
    running, most, gate, full, failures = 0, 0, asyncio.Event(), asyncio.Event(), []

    async def finish(number):
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            full.set()
        await gate.wait()
        running -= 1
        if number == 3:
            raise ValueError(number)

    window = TaskWindow(4, failures.append)
    filler = asyncio.ensure_future(_fill(window, finish, 10))
    await full.wait()
    assert len(window) == 4
    gate.set()
    await filler
    await asyncio.gather(*window._tasks, return_exceptions=True)
    assert most == 4
    assert [str(error) for error in failures] == ["3"]


async def _fill(window, finish, count):
    for number in range(count):
        await window.run(finish(number))
