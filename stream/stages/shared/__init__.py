"""What the stages share: the stage base, spans, metrics."""
