"""Files in WEIR_HOME: ports, API keys, access log, numeric type of the encoder."""
