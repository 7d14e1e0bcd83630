"""Dead letters: records that a stage could not process (:mod:`stream.dead_letters`), read and replayed for ``weir dlq``.

A replay is noted on the dead-letter topic itself: a record without content that names the letter's offset. The topic is not compacted,
so the note outlives the letter, and no second store can disagree with it.
"""
