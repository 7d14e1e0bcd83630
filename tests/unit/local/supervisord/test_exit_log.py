from weir.local.supervisord.exit_log import Deaths

HEAD = "2026-01-31 12:00:00,000 "


def test_deaths_are_told_once_with_their_reason(tmp_path):
    log = tmp_path / "supervisord.log"
    log.write_text(HEAD + "WARN exited: old (exit status 1; not expected)\n")
    deaths = Deaths(log)
    assert deaths.news() == []
    with log.open("a") as file:
        file.write(HEAD + "WARN exited: score (terminated by SIGKILL; not expected)\n")
        file.write(HEAD + "INFO spawned: 'score' with pid 7\n")
        file.write(HEAD + "INFO exited: watch (exit status 0; expected)\n")
        file.write(HEAD + "WARN stopped: ledger (terminated by SIGTERM)\n")
        file.write(HEAD + "WARN exited: ray (exit st")
    assert deaths.news() == [("score", "terminated by SIGKILL"), ("watch", "exit status 0")]
    assert deaths.news() == []
    with log.open("a") as file:
        file.write("atus 3; not expected)\n")
    assert deaths.news() == [("ray", "exit status 3")]


def test_a_rotated_or_missing_log_is_followed(tmp_path):
    log = tmp_path / "supervisord.log"
    deaths = Deaths(log)
    assert deaths.news() == []
    log.write_text(HEAD + "x" * 500 + "\n")
    assert deaths.news() == []
    log.write_text(HEAD + "WARN exited: score (exit status 2; not expected)\n")
    assert deaths.news() == [("score", "exit status 2")]
