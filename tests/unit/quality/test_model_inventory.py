from serving.engine.model_files import write_manifest
from weir.quality.model_inventory import inventory


def test_a_folder_of_an_earlier_version_is_listed_as_stale(tmp_path):
    for folder in ("small-gguf", "small-wheel"):
        (tmp_path / folder).mkdir()
        write_manifest(tmp_path / folder, name="small", source="wheel", origin="small==1", digest="d")
    assert [model.used_by for model in inventory(tmp_path) if model.name == "small"] == [
        "serving",
        f"nothing (stale: delete {tmp_path / 'small-wheel'})",
    ]
