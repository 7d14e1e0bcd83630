"""The card of a dataset (Hugging Face's dataset card) and its description in Croissant 1.0; neither contains text of a row.

Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

import json
from collections.abc import Mapping
from typing import Any

from stream.count_text import count_text
from stream.loop.dataset.files import Manifest

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_TEMPLATE = """\
---
{{ card_data }}
---

# {{ pretty_name }}

Examples for `{{ manifest.model }}` of tenant `{{ manifest.tenant }}`, made by `weir dataset build` from the log of prompts, answers and what people said
about them. {{ rows }}

- **Digest** (SHA-256 of the rows): `{{ manifest.digest }}`
- **Retraining request:** {{ "`" ~ manifest.retraining_id ~ "`" if manifest.retraining_id else "none; built by hand" }}
- **Old rows from the dataset:** {{ "`" ~ manifest.parent ~ "`" if manifest.parent else "none" }}

## Uses

To fine-tune `{{ manifest.model }}`. The rows are what people corrected, approved or rated: they are no sample of the traffic.
Personal data is {{ "replaced by its type, such as `<EMAIL_ADDRESS>`" if manifest.settings.pii == "mask" else "a reason to leave a row out" }}; detectors miss some of it.

## Dataset Structure

| Split | Rows |
|---|---|
| train | {{ manifest.counts.train }} |
| eval | {{ manifest.counts.eval }} |

Columns: `id` (request id), `kind` (`sft` or `kto`), `prompt` (messages), `completion`, `label` (kto: whether the answer was wanted),
`source` (`correction`, `approved`, `thumb`: rated, `replay`: an old row), `conversation` (hash), `cluster` (of the prompt's embedding; -1: none), `principal` (id of the API key that
reviewed the answer). Conversations and near duplicates are not divided between the splits.

## Dataset Creation

### Source Data

| Topic | Partition | From | To (exclusive) |
|---|---|---|---|
{% for range in manifest.ranges %}{% for number, first in range.first.items() %}| `{{ range.topic }}` | {{ number }} | {{ first }} | {{ range.last[number] }} |
{% endfor %}{% endfor %}
### Reviewed requests that were left out

| Reason | Requests |
|---|---|
{% for reason, number in manifest.counts.dropped.items() %}| {{ reason }} | {{ number }} |
{% else %}| none | 0 |
{% endfor %}
### Bounds that were reached

| Bound | API key or first request | Found | Kept |
|---|---|---|---|
{% for bound in manifest.bounds %}| {{ bound.name }} | `{{ bound.of }}` | {{ bound.found }} | {{ bound.kept }} |
{% else %}| none | | | |
{% endfor %}
### Versions and settings

| Name | Value |
|---|---|
{% for name, version in manifest.versions.items() %}| {{ name }} | `{{ version }}` |
{% endfor %}{% for name, value in manifest.settings.items() %}| `{{ name }}` | `{{ value }}` |
{% endfor %}"""


def card(manifest: Manifest, languages: Mapping[str, int]) -> str:
    """Return the card in Markdown; `languages` is {ISO 639-1 code: rows}."""
    from huggingface_hub import DatasetCard, DatasetCardData  # noqa: PLC0415 - an optional extra, half a second

    rows = manifest.counts.train + manifest.counts.eval
    name = f"Weir dataset {manifest.digest[:12]}"
    data = DatasetCardData(
        language=sorted(code for code in languages if code) or None,
        annotations_creators="expert-generated",
        language_creators="other",
        size_categories=next((size for limit, size in _SIZES if rows < limit), "100K<n<1M"),
        task_categories=["text-generation"],
        pretty_name=name,
        configs=[
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}.parquet"} for split in ("train", "eval")],
            }
        ],
    )
    names = len(manifest.principals)
    text = f"{count_text(rows, 'row')}, reviewed by {count_text(names, 'API key')}."
    return str(DatasetCard.from_template(data, template_str=_TEMPLATE, pretty_name=name, manifest=manifest, rows=text))


#: {column: Croissant data type}.
_COLUMNS = {
    "id": "sc:Text",
    "kind": "sc:Text",
    "completion": "sc:Text",
    "label": "sc:Boolean",
    "source": "sc:Text",
    "conversation": "sc:Text",
    "cluster": "sc:Integer",
    "principal": "sc:Text",
}


def croissant(manifest: Manifest) -> str:
    """Return the description of the dataset as Croissant JSON-LD; `manifest.files` must name the Parquet files."""
    splits = [split for split in ("train", "eval") if f"{split}.parquet" in manifest.files]
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"weir-{manifest.digest[:12]}",
        "description": f"Examples for {manifest.model} of tenant {manifest.tenant}; SHA-256 of the rows: {manifest.digest}",
        "version": "1.0.0",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": f"{split}.parquet",
                "name": f"{split}.parquet",
                "contentUrl": f"{split}.parquet",
                "encodingFormat": "application/x-parquet",
                "sha256": manifest.files[f"{split}.parquet"],
            }
            for split in splits
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "name": split,
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"{split}/{column}",
                        "name": column,
                        "dataType": kind,
                        "source": {"fileObject": {"@id": f"{split}.parquet"}, "extract": {"column": column}},
                    }
                    for column, kind in _COLUMNS.items()
                ],
            }
            for split in splits
        ],
    }
    return json.dumps(document, indent=2) + "\n"


_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
