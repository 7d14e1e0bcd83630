"""The closed loop: datasets from the log, training, the gate, delivery and lineage of model versions."""
