"""Ready studies on real clinical data, a folder each, written as a user would write them."""
