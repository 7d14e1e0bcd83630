from stream.remember import append, remember


def test_the_newest_items_are_kept_and_a_changed_item_is_the_newest():
    items = {"a": 1, "b": 2}
    remember(items, "a", 3, 2)
    assert list(items.items()) == [("b", 2), ("a", 3)]
    remember(items, "c", 4, 2)
    assert list(items.items()) == [("a", 3), ("c", 4)]
    names = ["a", "b"]
    append(names, "c", 2)
    assert names == ["b", "c"]
