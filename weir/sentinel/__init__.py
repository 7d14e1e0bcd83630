"""Fixed prompts of Weir's own. Sentinels: if their answers change, the cause is the model, not its inputs. Pairs: for the detector `bias`."""
