"""The delivery cursor: it is written atomically into allocated space."""

from serving.capture.delivery_cursor import CURSOR_FILE, Cursor, load_cursor, reserve_cursor, save_cursor

FIRST, SECOND = Cursor(segment=1, offset=100, number=7), Cursor(segment=2, offset=300, number=12, shed=1)


def test_without_a_written_cursor_the_cursor_is_the_start_of_the_spool(tmp_path):
    assert load_cursor(tmp_path) == Cursor()
    reserve_cursor(tmp_path)
    assert (tmp_path / CURSOR_FILE).stat().st_size == 1024
    assert load_cursor(tmp_path) == Cursor()


def test_the_newest_cursor_is_loaded_and_its_file_does_not_grow(tmp_path):
    for number in range(50):
        save_cursor(tmp_path, Cursor(number=number))
        assert load_cursor(tmp_path).number == number
    assert (tmp_path / CURSOR_FILE).stat().st_size == 1024


def test_if_a_cursor_is_torn_at_any_byte_the_previous_one_is_loaded(tmp_path):
    save_cursor(tmp_path, FIRST)
    before = (tmp_path / CURSOR_FILE).read_bytes()
    save_cursor(tmp_path, SECOND)
    after = (tmp_path / CURSOR_FILE).read_bytes()
    (start,) = {number // 512 * 512 for number in range(1024) if before[number] != after[number]}
    for cut in range(512):
        torn = after[: start + cut] + before[start + cut : start + 512] + after[start + 512 :]
        (tmp_path / CURSOR_FILE).write_bytes(torn)
        assert load_cursor(tmp_path) in (FIRST, SECOND)
        if torn[start : start + 512] != after[start : start + 512]:
            assert load_cursor(tmp_path) == FIRST
