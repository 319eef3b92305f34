"""Which weights there are and whether they are whole: published files listed, fetched, checked, converted, imitated."""
