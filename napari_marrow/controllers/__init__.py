"""One controller per panel; none knows Qt."""
