"""The page that asks for a study, and the line that names the open one."""
