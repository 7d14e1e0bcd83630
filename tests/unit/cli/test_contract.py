from click.testing import CliRunner

from stream.contract import asyncapi_document, contract_files, event_schemas
from stream.contract.document import printed
from weir.cli.contract import contract


def run(*arguments):
    return CliRunner().invoke(contract, arguments)


def test_the_command_prints_the_document_and_the_schemas():
    assert run().output == printed(asyncapi_document())
    assert run("schemas").output == printed(event_schemas())


def test_the_command_writes_every_file(tmp_path):
    assert run("--write", str(tmp_path)).output == f"{len(contract_files())} files written to {tmp_path}\n"
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")} == set(contract_files())


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    result = run("--write", str(tmp_path / "file"))
    assert str(tmp_path / "file") in str(result.exception)
