"""The results: records, tables, and the views that figures are drawn from."""
