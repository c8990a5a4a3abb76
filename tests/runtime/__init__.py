"""Settings, locks, exit codes and logs of every service."""
