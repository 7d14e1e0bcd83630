"""The archive: Parquet copies of Kafka's records, for datasets, replays and DuckDB."""
