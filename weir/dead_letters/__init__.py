"""Dead letters, read and put back: what ``weir dlq`` does.

How they come about is :mod:`stream.dead_letters`. Which of them were put back stands on the same topic: a note after the letter, a
record without content that names its offset. The topic is not compacted, so that the note outlives the letter, and no file
beside the log can disagree with it.
"""
