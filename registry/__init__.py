"""What people sign: members, roster, keys, plans and commands."""
