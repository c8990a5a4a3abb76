"""Over a real network of Linux namespaces: a hospital behind its proxy, and a federation behind one port."""
