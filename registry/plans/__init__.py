"""Plans as their authors write them: plan.toml, its defaults, presets, words and template."""
