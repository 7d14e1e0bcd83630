"""The whole protocol in one process, faster than real time: our code, a simulated broker, a clock that nobody waits for.

Real: the spool's writer, adopter, reader, pipeline, shipper and its keeper of producers; the score agent with its window, batches and
ticks; the watch app with its three stages, tables and detectors' states; Weir's consumer and tracker; the ledger's process.
Doubled: the clock, aiokafka's clients, Faust's loop around an agent (fetch, rebalance, recovery), and the model processes.
"""
