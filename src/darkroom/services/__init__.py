"""Services: one sentence per use — authorise, decide, write the change with its event, return."""
