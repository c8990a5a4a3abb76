"""The keys of TLS connections: made and asked for by whoever holds them, kept in folders, and checked before use."""
