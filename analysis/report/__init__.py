"""Results as a page, tables, figures and words."""
