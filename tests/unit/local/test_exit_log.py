from weir.local.log_tail import ExitLog

HEAD = "2026-01-31 12:00:00,000 "


def test_each_exit_is_returned_once_with_its_reason(tmp_path):
    log = tmp_path / "supervisord.log"
    log.write_text(HEAD + "WARN exited: old (exit status 1; not expected)\n")
    exits = ExitLog(log)
    assert exits.new_exits() == []
    with log.open("a") as file:
        file.write(HEAD + "WARN exited: score (terminated by SIGKILL; not expected)\n")
        file.write(HEAD + "INFO spawned: 'score' with pid 7\n")
        file.write(HEAD + "INFO exited: watch (exit status 0; expected)\n")
        file.write(HEAD + "WARN stopped: ledger (terminated by SIGTERM)\n")
        file.write(HEAD + "WARN exited: ray (exit st")
    assert exits.new_exits() == [("score", "terminated by SIGKILL"), ("watch", "exit status 0")]
    assert exits.new_exits() == []
    with log.open("a") as file:
        file.write("atus 3; not expected)\n")
    assert exits.new_exits() == [("ray", "exit status 3")]


def test_a_missing_and_a_rotated_log_are_read(tmp_path):
    log = tmp_path / "supervisord.log"
    exits = ExitLog(log)
    assert exits.new_exits() == []
    log.write_text(HEAD + "x" * 500 + "\n")
    assert exits.new_exits() == []
    log.write_text(HEAD + "WARN exited: score (exit status 2; not expected)\n")
    assert exits.new_exits() == [("score", "exit status 2")]
