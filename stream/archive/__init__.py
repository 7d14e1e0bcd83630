"""The archive: Parquet files of the log that outlive Kafka's retention, for datasets, replays and DuckDB."""
