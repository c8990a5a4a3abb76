"""What several roles must compute alike, to the bit: digests, signatures, seals, fixed point, server steps, chain."""
