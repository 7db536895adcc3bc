"""What the panels ask of the open study, one module per panel; every call may block."""
