"""Settings of the archive."""

from pydantic import Field

from stream.settings import Count, Section

__all__ = ["ArchiveSettings"]


class ArchiveSettings(Section):
    """``[archive]``: Parquet files of the log, which `weir archive run` writes and `weir dataset` and `weir replay` read."""

    url: str = Field(
        "",
        description="folder (relative: beside weir.toml), or address for fsspec such as s3://bucket/weir; empty: no archive",
    )
    segment_records: Count = Field(50_000, description="records of a file, at most")
