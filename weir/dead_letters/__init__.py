"""Read and replay dead letters (records that a stage could not process, :mod:`stream.dead_letters`) for ``weir dlq``.

A replay writes a note to the dead-letter topic: a record without content that has the letter's offset in a header. The topic is not
compacted, so the note expires after the letter. There is no second store that could contradict the topic.
"""
