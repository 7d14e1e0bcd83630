"""A simulation of the protocol in one process and in virtual time: Weir's code, a simulated broker and a simulated clock.

Real: the spool's writer, adopter, reader, pipeline, shipper and producer manager; the score agent with its window, batches and
ticks; the watch app with its three stages, tables and detectors' states; Weir's consumer and tracker; the ledger's process.
Doubles: the clock, aiokafka's clients, Faust's loop around an agent (fetch, rebalance, recovery), and the model processes.
"""
