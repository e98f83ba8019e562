"""From names to objects: plugins found by entry point, described from their source, built from a config."""
