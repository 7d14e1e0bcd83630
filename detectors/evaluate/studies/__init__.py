"""Studies of what no labelled set measures: streams above all. `registry` lists them."""
