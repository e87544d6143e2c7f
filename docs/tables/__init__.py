"""The tables of docs/paper.md, made from the kept results: ``python -m docs.tables``."""
