"""What every service process needs: settings from TOML and environment, logs, signals, a metrics port, one lock."""
