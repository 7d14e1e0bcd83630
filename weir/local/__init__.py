"""Run a whole stack on one machine: start, supervise, restart and stop its processes."""
