"""What came out: records, tables, and what figures are drawn from."""
