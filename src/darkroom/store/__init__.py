"""Records: tables, named SQL straight on the driver for reads, one transaction for every change and its event."""
