"""The fault table: lives of an agent that are cut short, on disks that fail, and what its next start makes of them."""
