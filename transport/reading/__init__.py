"""Reading topics and bodies: from remembered positions, told apart by what may be opened."""
