"""Settings of the archive."""

from pydantic import Field, field_validator

from stream.section import Section
from stream.settings import Count


class ArchiveSettings(Section):
    """``[archive]``: Parquet copies of Kafka's records, which `weir archive run` writes and `weir dataset` and `weir replay` read."""

    url: str = Field(
        "",
        description="folder (a relative path starts at weir.toml's folder), or URL for fsspec such as s3://bucket/weir; empty: no archive",
    )
    segment_records: Count = Field(50_000, description="maximum records per file")

    @field_validator("url")
    @classmethod
    def _outlives_the_command(cls, url: str) -> str:
        if url.startswith("memory:"):
            raise ValueError("an archive in memory is lost at the end of the command; name a folder or an object store")
        return url
