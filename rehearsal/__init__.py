"""Plans and studies played ahead and compared, before a hospital is asked."""
