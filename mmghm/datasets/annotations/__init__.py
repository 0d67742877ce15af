"""Reading, checking and sharing lists, tables and JSON."""
